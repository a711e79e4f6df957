package node

import (
	"context"
	"errors"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// TestWhatIsReadIsTold: whoever keeps account of a client is told what is read and computed for it, the more the more it is, and ends it.
func TestWhatIsReadIsTold(t *testing.T) {
	const rivals = 3 * maxMembersTold
	v := newVillageFor(t, 1, 4, nil)
	n := v.start(0)
	paid := v.pay(0, "a")
	n.submitFinal(t, paid)
	open := v.pay(1, "b") // never submitted
	if err := n.sh.ask(t.Context(), func(r *record) {
		for i := range rivals {
			r.joined(txID(i), points(1))
		}
		r.joined(paid.ID, points(2))
	}); err != nil {
		t.Fatal(err)
	}
	owner := utxo.FormatAddress(v.genesis.Doc.AddressPrefix, paid.Outputs[0].Address)
	ratee := v.peer(0)
	rater := txID(7)
	errBroke := errors.New("no tokens")
	type pay = func(bytes int) error
	for name, test := range map[string]struct {
		do    func(ctx context.Context, pay pay) error
		least int // bytes
	}{
		"an account": {func(ctx context.Context, pay pay) error { _, err := n.Explain(ctx, paid.ID, pay); return err }, len(paid.Raw)},
		"a contest":  {func(ctx context.Context, pay pay) error { _, err := n.Contest(ctx, txID(0), pay); return err }, costOfContender * rivals},
		"contests": {func(ctx context.Context, pay pay) error { _, _, err := n.Contests(ctx, "", 1, pay); return err },
			costOfContender * rivals},
		"figures": {func(ctx context.Context, pay pay) error { _, err := n.Stats(ctx, pay); return err }, costOfContender * rivals},
		"a validation": {func(ctx context.Context, pay pay) error { _, err := n.Validate(ctx, open.Raw, pay); return err },
			len(open.Raw) + costOfSignature},
		"a simulation": {func(ctx context.Context, pay pay) error {
			_, err := n.Simulate(ctx, []*notaryv1.LabelChange{{Rater: rater[:], Ratee: ratee[:], Score: 1}}, pay)
			return err
		}, costOfVoice},
		"live outputs": {func(ctx context.Context, pay pay) error { _, _, err := n.Unspent(ctx, owner, "", 10, pay); return err }, 0},
		"a balance":    {func(ctx context.Context, pay pay) error { _, err := n.Balance(ctx, owner, pay); return err }, 64},
		"trust": {func(ctx context.Context, pay pay) error {
			_, err := n.Trust(ctx, domain.Hash{}, domain.Hash{}, pay)
			return err
		}, 0},
		"a margin": {func(ctx context.Context, pay pay) error { _, err := n.Margin(ctx, pay); return err }, 0},
		"finals": {func(ctx context.Context, pay pay) error {
			for _, err := range n.WatchAcceptances(ctx, "0", false, 0, pay) {
				return err
			}
			return nil
		}, len(paid.Raw)},
		"proofs": {func(ctx context.Context, pay pay) error {
			for r, err := range n.WatchAcceptances(ctx, "0", true, 0, pay) {
				if err == nil && len(r.Proof) == 0 {
					t.Error("no proof")
				}
				return err
			}
			return nil
		}, 2*len(paid.Raw) + 4<<10},
		"events": {func(ctx context.Context, pay pay) error {
			for _, err := range n.WatchAddress(ctx, owner, "0", pay) {
				return err
			}
			return nil
		}, costOfEvent},
	} {
		told, times := 0, 0
		if err := test.do(t.Context(), func(bytes int) error { told, times = told+bytes, times+1; return nil }); err != nil || times == 0 || told < test.least {
			t.Errorf("%s: %d bytes are told in %d parts, want %d at least; %v", name, told, times, test.least, err)
		}
		if err := test.do(t.Context(), func(int) error { return errBroke }); !errors.Is(err, errBroke) {
			t.Errorf("%s for who cannot pay: %v", name, err)
		}
	}
}
