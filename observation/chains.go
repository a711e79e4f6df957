package observation

import (
	"cmp"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
)

// ChainID names a chain: a node key starts a new one with each signing epoch.
type ChainID struct {
	Key          domain.PublicKey
	SigningEpoch uint32
}

// Chain is the chain that a header belongs to.
func (h *Header) Chain() ChainID { return ChainID{h.Key, h.SigningEpoch} }

// Standing is how a header stands to the chain that is known.
type Standing uint8

const (
	// Extends: the next link; the chain has grown by it.
	Extends Standing = iota + 1
	// Duplicate: known already.
	Duplicate
	// Gap: observations From to To are missing between the head and this one. Nothing has changed; fetch
	// them and offer this one again.
	Gap
	// Fork: the signer made two observations at one height. Both count for votes; together they convict.
	Fork
	// TooOld: below the window that is remembered. Compare with what is stored at this height.
	TooOld
	// Full: a chain that is not followed, and as many as allowed are.
	Full
)

// String is the standing in lower case.
func (s Standing) String() string {
	names := [...]string{"none", "extends", "duplicate", "gap", "fork", "too old", "full"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// Outcome says how an observation stands to its chain.
type Outcome struct {
	Standing Standing
	// From and To are the missing heights, both included. Gap only.
	From, To uint64
	// Height at which the signer made two observations, Known the hash of the one that was known there
	// and Other that of the one that contradicts it. Fork only. Where Height is that of the header
	// followed, Other is this header; where it is one lower, Other is the predecessor that this header
	// names, which must be fetched by its hash to make evidence.
	Height       uint64
	Known, Other domain.Hash
}

// Chains follows the chain of every (node key, signing epoch), by headers whose signatures were checked.
// Memory is bounded: a limited number of chains with a window of the newest hashes each. Not for use by
// several goroutines at once.
type Chains struct {
	window, limit int
	chains        map[ChainID]*chain
}

// chain remembers the hashes at heights (height-len(ring), height], each at its height modulo the
// window; it grows up to the window.
type chain struct {
	height uint64
	known  uint64 // how many heights, up to and including height, are remembered
	ring   []domain.Hash
}

// NewChains follows at most limit chains and remembers the newest window hashes of each.
func NewChains(window, limit int) *Chains {
	if window < 2 || limit < 1 {
		panic("observation: chains need a window of two and room for one")
	}
	return &Chains{window: window, limit: limit, chains: map[ChainID]*chain{}}
}

// Resume takes up a chain at a stored head, replacing what was known of it. It reports false where the
// chain is new and there is no room for it.
func (c *Chains) Resume(head Head) bool {
	id := ChainID{head.Key, head.SigningEpoch}
	if _, known := c.chains[id]; !known && len(c.chains) >= c.limit {
		return false
	}
	ch := &chain{ring: make([]domain.Hash, min(c.window, 8)), height: head.Height}
	if head.Height > 0 {
		ch.known = 1
		*ch.at(head.Height) = head.Hash
	}
	c.chains[id] = ch
	return true
}

// Forget stops following a chain, as when a link removes its key.
func (c *Chains) Forget(id ChainID) { delete(c.chains, id) }

// Head is the newest link known of a chain.
func (c *Chains) Head(id ChainID) (Head, bool) {
	ch, ok := c.chains[id]
	if !ok {
		return Head{}, false
	}
	return ch.head(id), true
}

// Heads are the newest links of all chains, by ascending key and signing epoch.
func (c *Chains) Heads() []Head {
	heads := make([]Head, 0, len(c.chains))
	for id, ch := range c.chains {
		heads = append(heads, ch.head(id))
	}
	slices.SortFunc(heads, func(a, b Head) int {
		return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.SigningEpoch, b.SigningEpoch))
	})
	return heads
}

// Follow takes the header of an observation that was decoded and whose signature was checked, and its
// hash. Offered in the order of their heights, observations extend the chain one by one; a Gap changes
// nothing.
//
// A signer that forked is followed along the branch that grows: a successor of a contradicting head
// becomes the head, so that the gaps of a liar's chain still close.
func (c *Chains) Follow(h *Header, hash domain.Hash) Outcome {
	ch, ok := c.chains[h.Chain()]
	if !ok {
		if len(c.chains) >= c.limit {
			return Outcome{Standing: Full}
		}
		if h.Height > 1 {
			return Outcome{Standing: Gap, From: 1, To: h.Height - 1}
		}
		c.Resume(Head{Key: h.Key, SigningEpoch: h.SigningEpoch})
		ch = c.chains[h.Chain()]
	}
	switch {
	case h.Height > ch.height+1:
		return Outcome{Standing: Gap, From: ch.height + 1, To: h.Height - 1}
	case h.Height == ch.height+1:
		return ch.extend(h, hash, c.window)
	case ch.height-h.Height >= ch.known:
		return Outcome{Standing: TooOld}
	}
	if known := *ch.at(h.Height); known != hash {
		return Outcome{Standing: Fork, Height: h.Height, Known: known, Other: hash}
	}
	return Outcome{Standing: Duplicate}
}

// extend makes h the head and reports whether it builds on the head before.
func (ch *chain) extend(h *Header, hash domain.Hash, window int) Outcome {
	out := Outcome{Standing: Extends}
	if ch.height > 0 {
		if known := *ch.at(ch.height); known != h.Previous {
			out = Outcome{Standing: Fork, Height: ch.height, Known: known, Other: h.Previous}
		}
	}
	ch.grow(window)
	ch.height++
	ch.known = min(ch.known+1, uint64(len(ch.ring)))
	*ch.at(ch.height) = hash
	return out
}

// grow doubles the ring when it is full and below the window.
func (ch *chain) grow(window int) {
	if ch.known < uint64(len(ch.ring)) || len(ch.ring) >= window {
		return
	}
	old := *ch
	ch.ring = make([]domain.Hash, min(window, 2*len(ch.ring)))
	for i := range old.known {
		*ch.at(old.height - i) = *old.at(old.height - i)
	}
}

func (ch *chain) at(height uint64) *domain.Hash { return &ch.ring[height%uint64(len(ch.ring))] }

func (ch *chain) head(id ChainID) Head {
	h := Head{Key: id.Key, SigningEpoch: id.SigningEpoch, Height: ch.height}
	if ch.height > 0 {
		h.Hash = *ch.at(ch.height)
	}
	return h
}
