package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// checking is what a proof is held against, by flags.
type checking struct {
	// genesis is a file to trust instead of the networks trusted here, network the one of these that the proof has to be
	// of, own a file of the user's own trust.
	genesis, network, own string
	// share of it that should stand behind a proof, in percent.
	share uint
}

func (k *checking) flags(c *cobra.Command) {
	c.Flags().StringVar(&k.genesis, "genesis", "", "trust this genesis `file` instead of the networks trusted here")
	c.Flags().StringVar(&k.network, "network", "", "the `network` trusted here that the proof has to be of, by id; needed where there are several, unless it is the node's")
	c.MarkFlagsMutuallyExclusive("genesis", "network")
	c.Flags().StringVar(&k.own, "trust", "", "tell what of your own trust stands behind the proof: a `file` as notary trust list --json writes it")
	c.Flags().UintVar(&k.share, "trust-share", 50, "`percent` of it that you want there; the conclusion and the exit code do not depend on it")
}

// ownTrust reads a file of the user's own trust; nil where none is named.
func (k *checking) ownTrust() (*observation.OwnTrust, error) {
	if k.own == "" {
		return nil, nil
	}
	if k.share > 100 {
		return nil, usage("--trust-share: at most 100 percent, not %d", k.share)
	}
	b, err := os.ReadFile(k.own)
	if err != nil {
		return nil, usage("--trust: %v", err)
	}
	var list []struct {
		PeerID   string       `json:"peer_id"`
		Relative group.Weight `json:"relative"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, usage("--trust: %s is not what notary trust list --json writes: %v", k.own, err)
	}
	own := &observation.OwnTrust{Weights: make(map[domain.Hash]group.Weight, len(list)), Threshold: group.Total / 100 * group.Weight(k.share)}
	for _, t := range list {
		id, err := domain.ParseHash(t.PeerID)
		if err != nil {
			return nil, usage("--trust: %s: %q is not a peer id of 64 hexadecimal digits", k.own, t.PeerID)
		}
		own.Weights[id] = t.Relative
	}
	return own, nil
}

// tellOwn tells what of the user's own trust stands behind a transaction.
func tellOwn(v *observation.OwnVerdict) string {
	if v.Met {
		return fmt.Sprintf("%s stands behind it, %s wanted", percent(uint64(v.Weight)), percent(uint64(v.Threshold)))
	}
	return fmt.Sprintf("HELD: %s stands behind it, less than the %s wanted", percent(uint64(v.Weight)), percent(uint64(v.Threshold)))
}
