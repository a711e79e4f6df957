package e2e

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// history is what clients asked and were told of outpoints. Each outpoint is a register that is written once, with the
// transaction that spends it for good. Nodes may lag: "not final yet" says nothing.
type history struct {
	began time.Time

	mu      sync.Mutex
	offered map[domain.Hash]bool
	said    []porcupine.Operation
}

// operation is one line of a history. Offering a transaction may write it at any time from then on; what a client is told
// is a read.
type operation struct {
	kind string // offer, final or lost
	at   utxo.Outpoint
	tx   domain.Hash
}

func newHistory() *history {
	return &history{began: time.Now(), offered: make(map[domain.Hash]bool)}
}

func (h *history) now() int64 { return int64(time.Since(h.began)) }

// offer notes that a transaction is about to be sent to a node.
func (h *history) offer(tx *utxo.Tx) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.offered[tx.ID] {
		h.offered[tx.ID] = true
		h.note("offer", tx, h.now(), math.MaxInt64)
	}
}

// told notes that a node asked since a time said how a transaction ended.
func (h *history) told(tx *utxo.Tx, final bool, since int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	kind := "lost"
	if final {
		kind = "final"
	}
	h.note(kind, tx, since, h.now())
}

func (h *history) note(kind string, tx *utxo.Tx, call, end int64) {
	for _, o := range tx.Spends() {
		h.said = append(h.said, porcupine.Operation{Input: operation{kind, o, tx.ID}, Call: call, Return: end})
	}
}

// register is the model: the state is the transaction that spends the outpoint, zero for none.
var register = porcupine.Model{
	Init: func() any { return domain.Hash{} },
	Step: func(state, input, _ any) (bool, any) {
		value, op := state.(domain.Hash), input.(operation)
		switch op.kind {
		case "offer":
			if value.IsZero() {
				return true, op.tx
			}
			return true, value
		case "final":
			return value == op.tx, value
		default:
			return !value.IsZero() && value != op.tx, value
		}
	},
	Partition: func(all []porcupine.Operation) (parts [][]porcupine.Operation) {
		place := make(map[utxo.Outpoint]int)
		for _, o := range all {
			at := o.Input.(operation).at
			i, there := place[at]
			if !there {
				i = len(parts)
				place[at] = i
				parts = append(parts, nil)
			}
			parts[i] = append(parts[i], o)
		}
		return parts
	},
}

// consistent holds the history against the model, and returns how many lines it has.
func (h *history) consistent() (operations int, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.said), porcupine.CheckOperationsTimeout(register, h.said, time.Minute) == porcupine.Ok
}

// Histories that no write-once register has are told from those that it has.
func TestHistoriesAreJudged(t *testing.T) {
	net := purse{network: domain.Hash{1}, owner: alice, value: 1}
	coin := utxo.Outpoint{Tx: domain.Hash{2}}
	a, b := net.pay(coin, bob, 0), net.pay(coin, carol, 1)
	for name, c := range map[string]struct {
		happens func(h *history)
		ok      bool
	}{
		"one wins, all say so": {func(h *history) {
			h.offer(a)
			h.offer(b)
			h.told(a, true, h.now())
			h.told(b, false, h.now())
			h.told(a, true, 0)
		}, true},
		"nobody says anything": {func(h *history) { h.offer(a); h.offer(b) }, true},
		"both final":           {func(h *history) { h.offer(a); h.offer(b); h.told(a, true, h.now()); h.told(b, true, h.now()) }, false},
		"final, then lost":     {func(h *history) { h.offer(a); h.offer(b); h.told(a, true, h.now()); h.told(a, false, h.now()) }, false},
		"lost, then final":     {func(h *history) { h.offer(a); h.offer(b); h.told(a, false, h.now()); h.told(a, true, h.now()) }, false},
		"lost to nobody":       {func(h *history) { h.offer(a); h.told(a, false, h.now()) }, false},
		"final before it was sent": {func(h *history) {
			h.told(a, true, h.now())
			h.began = h.began.Add(-time.Second) // offered a second later
			h.offer(a)
		}, false},
	} {
		h := newHistory()
		c.happens(h)
		if n, ok := h.consistent(); ok != c.ok || n == 0 {
			t.Errorf("%s: consistent %t, %d lines", name, ok, n)
		}
	}
}
