package store

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// TestRecentNeverStale holds the cache against a database of its own: readers look up, are delayed, and offer what
// they found while outputs are made and spent in between. Whatever is found in the cache is what the database says.
func TestRecentNeverStale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRecent(0)
		r.half = rapid.IntRange(1, 4).Draw(t, "half")
		database := make(map[utxo.Outpoint]utxo.Entry)
		type look struct {
			o    utxo.Outpoint
			e    utxo.Entry
			turn uint64
		}
		var pending []look
		found := map[utxo.Outpoint]*kept{}
		point := func() utxo.Outpoint { return utxo.Outpoint{Index: rapid.Uint32Range(0, 5).Draw(t, "outpoint")} }
		for n := range uint64(60) {
			o := point()
			entry, known := database[o]
			switch rapid.SampledFrom([]string{"look", "again", "offer", "commit"}).Draw(t, "act") {
			case "look":
				e, k, turn := r.find(o)
				ok := k != nil
				if ok && (!known || e.SpentBy != entry.SpentBy || e.FinalMS != entry.FinalMS) {
					t.Fatalf("the cache says %v of %v, the database %v (%v)", e, o, entry, known)
				}
				if !ok && known {
					pending = append(pending, look{o, entry, turn})
				}
				if ok {
					found[o] = k
				}
			case "again":
				from := point() // mostly another
				if _, by, ok := r.again(o, found[from]); ok && (from != o || by != entry.SpentBy) {
					t.Fatalf("the cache says of %v, found as %v, that %v spent it, the database %v", o, from, by, entry.SpentBy)
				}
			case "offer":
				if len(pending) > 0 {
					i := rapid.IntRange(0, len(pending)-1).Draw(t, "reader")
					r.offer(pending[i].o, pending[i].e, pending[i].turn)
					pending = append(pending[:i], pending[i+1:]...)
				}
			case "commit":
				switch {
				case !known:
					database[o] = utxo.Entry{FinalMS: n}
				case entry.SpentBy.IsZero():
					entry.SpentBy = domain.Hash(binary.BigEndian.AppendUint64(make([]byte, 24), n+1))
					database[o] = entry
					r.spend([]change{{tx: entry.SpentBy, spends: []spend{{outpoint: o}}}}, []Coin{{kept: found[o]}})
				}
			}
		}
	})
}

// TestRecentBounded: no more than two halves are kept.
func TestRecentBounded(t *testing.T) {
	r := newRecent(64 * recentBytes)
	for i := range uint32(1000) {
		r.offer(utxo.Outpoint{Index: i}, utxo.Entry{}, r.turn)
		if n := len(r.young.at) + len(r.old.at); n > 64 {
			t.Fatalf("%d outputs are kept, want at most 64", n)
		}
	}
	if _, k, _ := r.find(utxo.Outpoint{Index: 999}); k == nil {
		t.Error("the newest is gone")
	}
}

// TestRecentCountsData: outputs with data take as much of the room as their data, and keep nothing of the transactions that they were decoded
// from.
func TestRecentCountsData(t *testing.T) {
	r := newRecent(64 * recentBytes)
	tx := bytes.Repeat([]byte{7}, 1<<18)
	for i := range uint32(1000) {
		entry := utxo.Entry{Output: document(owners[0], 0)}
		entry.Output.Data.Payload = tx[: 16*recentBytes : 16*recentBytes]
		k := r.offer(utxo.Outpoint{Index: i}, entry, r.turn)
		if n := len(r.young.at) + len(r.old.at); n > 4 {
			t.Fatalf("%d outputs of %d bytes are kept, want at most 4", n, 16*recentBytes)
		}
		if kept := k.entry.Output.Data.Payload; !bytes.Equal(kept, entry.Output.Data.Payload) || &kept[0] == &tx[0] {
			t.Fatal("the data are not a copy")
		}
	}
}
