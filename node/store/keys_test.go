package store

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Few distinct values, so that prefixes are shared and the last parts decide.
var (
	drawHash = rapid.Custom(func(t *rapid.T) (h domain.Hash) {
		h[0] = rapid.SampledFrom([]byte{0, 1, 0xff}).Draw(t, "first")
		h[31] = rapid.Byte().Draw(t, "last")
		return h
	})
	drawOutpoint = rapid.Custom(func(t *rapid.T) utxo.Outpoint {
		return utxo.Outpoint{Tx: drawHash.Draw(t, "tx"), Index: rapid.Uint32().Draw(t, "index")}
	})
	drawChain = rapid.Custom(func(t *rapid.T) observation.ChainID {
		return observation.ChainID{Key: domain.PublicKey(drawHash.Draw(t, "key")), SigningEpoch: rapid.Uint32().Draw(t, "epoch")}
	})
)

// keyKind is one kind of key for the property below: a random one, and how two of them compare by what
// they mean.
type keyKind struct {
	class Class
	draw  func(*rapid.T) any
	key   func(any) []byte
	parse func([]byte) (any, error)
	order func(a, b any) int
}

func compareChain(a, b observation.ChainID) int {
	return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.SigningEpoch, b.SigningEpoch))
}

func hashKind(c Class) keyKind {
	return keyKind{c,
		func(t *rapid.T) any { return drawHash.Draw(t, "hash") },
		func(v any) []byte { return appendHashKey(nil, c, v.(domain.Hash)) },
		func(k []byte) (any, error) { return parseHashKey(c, k) },
		func(a, b any) int { return a.(domain.Hash).Compare(b.(domain.Hash)) },
	}
}

func outpointKind(c Class) keyKind {
	return keyKind{c,
		func(t *rapid.T) any { return drawOutpoint.Draw(t, "outpoint") },
		func(v any) []byte { return appendOutpointKey(nil, c, v.(utxo.Outpoint)) },
		func(k []byte) (any, error) { return parseOutpointKey(c, k) },
		func(a, b any) int { return a.(utxo.Outpoint).Compare(b.(utxo.Outpoint)) },
	}
}

func sequenceKind(c Class) keyKind {
	return keyKind{c,
		func(t *rapid.T) any { return rapid.Uint64().Draw(t, "seq") },
		func(v any) []byte { return appendSequenceKey(nil, c, v.(uint64)) },
		func(k []byte) (any, error) { return parseSequenceKey(c, k) },
		func(a, b any) int { return cmp.Compare(a.(uint64), b.(uint64)) },
	}
}

func numberKind(c Class) keyKind {
	return keyKind{c,
		func(t *rapid.T) any { return rapid.Uint32().Draw(t, "number") },
		func(v any) []byte { return appendNumberKey(nil, c, v.(uint32)) },
		func(k []byte) (any, error) { return parseNumberKey(c, k) },
		func(a, b any) int { return cmp.Compare(a.(uint32), b.(uint32)) },
	}
}

type forkPlace struct {
	place
	hash domain.Hash
}

type logPlace struct {
	address utxo.Address
	cursor  uint64
}

func comparePlace(a, b place) int {
	return cmp.Or(compareChain(a.Chain, b.Chain), cmp.Compare(a.Height, b.Height))
}

func drawPlace(t *rapid.T) place {
	return place{drawChain.Draw(t, "chain"), rapid.Uint64().Draw(t, "height")}
}

var keyKinds = []keyKind{
	hashKind(ClassTx), hashKind(ClassFinal), hashKind(ClassPending), hashKind(ClassRejected), hashKind(ClassProduct),
	hashKind(ClassEvidence),
	outpointKind(ClassLive), outpointKind(ClassSpent),
	sequenceKind(ClassLedger), sequenceKind(ClassRejectedLog), sequenceKind(ClassSheaf),
	numberKind(ClassGenesis), numberKind(ClassIntern),
	{ClassAddress,
		func(t *rapid.T) any {
			return addressKey{drawHash.Draw(t, "address"), drawHash.Draw(t, "product"), drawOutpoint.Draw(t, "outpoint")}
		},
		func(v any) []byte { return v.(addressKey).append(nil) },
		func(k []byte) (any, error) { return parseAddressKey(k) },
		func(a, b any) int {
			x, y := a.(addressKey), b.(addressKey)
			return cmp.Or(x.Address.Compare(y.Address), x.Product.Compare(y.Product), x.Outpoint.Compare(y.Outpoint))
		},
	},
	{ClassHead,
		func(t *rapid.T) any { return drawChain.Draw(t, "chain") },
		func(v any) []byte { return appendChain(nil, ClassHead, v.(observation.ChainID)) },
		func(k []byte) (any, error) { return parseHeadKey(k) },
		func(a, b any) int { return compareChain(a.(observation.ChainID), b.(observation.ChainID)) },
	},
	{ClassObservation,
		func(t *rapid.T) any { return drawPlace(t) },
		func(v any) []byte { return appendObservationKey(nil, v.(place).Chain, v.(place).Height) },
		func(k []byte) (any, error) { c, h, err := parseObservationKey(k); return place{c, h}, err },
		func(a, b any) int { return comparePlace(a.(place), b.(place)) },
	},
	{ClassFork,
		func(t *rapid.T) any { return forkPlace{drawPlace(t), drawHash.Draw(t, "hash")} },
		func(v any) []byte {
			f := v.(forkPlace)
			return appendForkKey(nil, f.Chain, f.Height, f.hash)
		},
		func(k []byte) (any, error) { c, h, x, err := parseForkKey(k); return forkPlace{place{c, h}, x}, err },
		func(a, b any) int {
			x, y := a.(forkPlace), b.(forkPlace)
			return cmp.Or(comparePlace(x.place, y.place), x.hash.Compare(y.hash))
		},
	},
	{ClassAddressLog,
		func(t *rapid.T) any { return logPlace{drawHash.Draw(t, "address"), rapid.Uint64().Draw(t, "cursor")} },
		func(v any) []byte { return appendAddressLogKey(nil, v.(logPlace).address, v.(logPlace).cursor) },
		func(k []byte) (any, error) { a, c, err := parseAddressLogKey(k); return logPlace{a, c}, err },
		func(a, b any) int {
			x, y := a.(logPlace), b.(logPlace)
			return cmp.Or(x.address.Compare(y.address), cmp.Compare(x.cursor, y.cursor))
		},
	},
}

// Keys come back as they went in, start with their class, and sort as what they mean.
func TestKeysRoundTripAndOrder(t *testing.T) {
	for _, kind := range keyKinds {
		t.Run(string(kind.class), rapid.MakeCheck(func(t *rapid.T) {
			a, b := kind.draw(t), kind.draw(t)
			ka, kb := kind.key(a), kind.key(b)
			if ka[0] != byte(kind.class) {
				t.Fatalf("key %x of class %c", ka, kind.class)
			}
			back, err := kind.parse(ka)
			if err != nil || back != a {
				t.Fatalf("%v came back as %v, %v", a, back, err)
			}
			if got, want := bytes.Compare(ka, kb), kind.order(a, b); got != want {
				t.Fatalf("keys compare %d, what they mean %d: %v, %v", got, want, a, b)
			}
		}))
	}
}

// A key of another class or length is refused by every parser.
func TestKeysRefuseOthers(t *testing.T) {
	for _, kind := range keyKinds {
		good := kind.key(rapid.Custom(kind.draw).Example(1))
		bad := map[string][]byte{
			"empty": {}, "short": good[:len(good)-1], "long": append(slices.Clone(good), 0),
			"class": append([]byte{byte(kind.class) + 1}, good[1:]...),
		}
		for name, k := range bad {
			if _, err := kind.parse(k); !errors.Is(err, ErrCorrupt) {
				t.Errorf("class %c: %s key gave %v", kind.class, name, err)
			}
		}
	}
}

// Classes are listed once each and in key order, with names of their own.
func TestClasses(t *testing.T) {
	names := map[string]bool{}
	for i, c := range Classes {
		if i > 0 && Classes[i-1].Class >= c.Class {
			t.Errorf("class %c is out of order", c.Class)
		}
		if names[c.Name] || c.Name == "" {
			t.Errorf("class %c is named %q", c.Class, c.Name)
		}
		names[c.Name] = true
	}
	for _, kind := range keyKinds {
		if !slices.ContainsFunc(Classes, func(c struct {
			Class Class
			Name  string
		}) bool {
			return c.Class == kind.class
		}) {
			t.Errorf("class %c is not listed", kind.class)
		}
	}
}

func TestVoteKeysSortByOutpointThenRound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func() conflict.Record {
			return conflict.Record{
				Outpoint: drawOutpoint.Draw(t, "outpoint"), Round: rapid.Uint32().Draw(t, "round"),
				State: rapid.SampledFrom([]observation.State{observation.Pending, observation.Accepted}).Draw(t, "state"),
			}
		}
		a, b := draw(), draw()
		want := cmp.Or(a.Outpoint.Compare(b.Outpoint), cmp.Compare(a.Round, b.Round), cmp.Compare(a.State, b.State))
		if got := bytes.Compare(appendVoteKey(nil, &a), appendVoteKey(nil, &b)); got != want {
			t.Fatalf("keys compare %d, records %d", got, want)
		}
		v := a.Value()
		if back, err := decodeVote(appendVoteKey(nil, &a), v[:]); err != nil || back != a {
			t.Fatalf("%v came back as %v, %v", a, back, err)
		}
	})
}

// after is above every key with the prefix and not above any other key that follows.
func TestAfter(t *testing.T) {
	for _, c := range []struct{ prefix, want []byte }{
		{[]byte{1}, []byte{2}},
		{[]byte{1, 0xff}, []byte{2}},
		{[]byte{1, 2, 0xff, 0xff}, []byte{1, 3}},
		{[]byte{0xff, 0xff}, nil},
		{nil, nil},
	} {
		if got := after(c.prefix); !bytes.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("after %x is %x, want %x", c.prefix, got, c.want)
		}
	}
}
