package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/api"
	"github.com/notarynet/notaryd/node"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// notProduced are the reasons that no client of this version can be given, each with why.
var notProduced = map[notaryv1.Reason]string{
	notaryv1.Reason_REASON_UNSPECIFIED:       "stands for no reason at all",
	notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT: "asks for a node's own trust behind a proof, which nodes do not hold yet",
	notaryv1.Reason_REASON_UNAUTHENTICATED:   "asks for credentials, and no method does yet: the admin socket is guarded by its file's permissions",
}

// elsewhere are the reasons that take more than this network to be given: peers, links, or an hour. Each names the
// package whose tests have it given.
var elsewhere = map[notaryv1.Reason]string{
	notaryv1.Reason_REASON_CURSOR_GAP:       "node: TestPrune",
	notaryv1.Reason_REASON_INVALID_PEER:     "utxo: rules of PEER outputs",
	notaryv1.Reason_REASON_INVALID_LINK:     "utxo: rules of LINK outputs",
	notaryv1.Reason_REASON_WORK_TOO_LOW:     "utxo: rules of PEER outputs",
	notaryv1.Reason_REASON_STALE_CUT:        "node/epoch: whether a link is right",
	notaryv1.Reason_REASON_WRONG_GROUP:      "node/epoch: whether a link is right",
	notaryv1.Reason_REASON_UNKNOWN_EVIDENCE: "node/epoch: whether a link is right",
}

// heard collects the reasons that nodes gave.
type heard map[notaryv1.Reason]bool

// want fails unless an error of the API has a reason, and notes it.
func (h heard) want(t *testing.T, what string, err error, want notaryv1.Reason) {
	t.Helper()
	if got := reasonOf(err); err == nil || got != want {
		t.Errorf("%s: %v (%v), want %v", what, got, err, want)
		return
	}
	h[want] = true
}

// TestReasons has real nodes give every reason that there is, through gRPC and, for those that bytes
// alone decide, through REST as well. It fails when a reason is neither given nor listed in
// notProduced or elsewhere.
func TestReasons(t *testing.T) {
	h := make(heard)
	t.Run("transactions", func(t *testing.T) { reasonsOfTransactions(t, h) })
	t.Run("undecided", func(t *testing.T) { reasonsUndecided(t, h) })
	t.Run("service", func(t *testing.T) { reasonsOfService(t, h) })
	for number := range notaryv1.Reason_name {
		r := notaryv1.Reason(number)
		if _, there := elsewhere[r]; there {
			continue
		}
		switch why, listed := notProduced[r]; {
		case h[r] && listed:
			t.Errorf("%v is given: it does not belong into notProduced", r)
		case !h[r] && !listed:
			t.Errorf("no test has %v given", r)
		case listed && why == "":
			t.Errorf("%v: not said why", r)
		}
	}
}

// badTransaction is a transaction that must be refused.
type badTransaction struct {
	reason notaryv1.Reason
	raw    []byte
	// waits says that it is not refused but held: only ValidateTransaction tells at once.
	waits bool
}

// The extra outputs of the network that the transactions of badTransactions spend, after its coins.
const (
	reasonCoins = 4
	atLocked    = reasonCoins + iota - 1
	atBoth
	atHash
	atShared
	atFirstReward
)

var (
	preimage   = bytes.Repeat([]byte{9}, 32)
	hashLock   = utxo.Lock{Threshold: 1, Keys: []domain.PublicKey{alice.Public()}, HashLock: sha(preimage)}
	sharedLock = utxo.NewLock(2, alice.Public(), bob.Public(), carol.Public())
)

// reasonOutputs are those outputs.
func reasonOutputs() []*utxo.Output {
	payment := notaryv1.OutputKind_OUTPUT_KIND_PAYMENT
	return []*utxo.Output{
		{Address: addressOf(alice), Amount: coinValue, Kind: payment, NotBeforeMS: nowMS() + 3_600_000},
		{Address: addressOf(alice), Amount: coinValue, Kind: payment, Counterparty: addressOf(bob)},
		{Address: hashLock.Address(), Amount: coinValue, Kind: payment},
		{Address: sharedLock.Address(), Amount: coinValue, Kind: payment},
	}
}

// reasonsOfTransactions sends everything that is wrong with a transaction, and finds the ledgers as
// they were.
func reasonsOfTransactions(t *testing.T, h heard) {
	n := start(t, 4, setup{coins: reasonCoins, extra: reasonOutputs()})
	spent := n.pay(bob, 0, 0)
	n.nodes[0].mustSubmit(t, spent, waitFinal)
	n.allFinal(t, spent)
	before := make([]any, len(n.nodes))
	for i, v := range n.nodes {
		before[i] = v.running.store.Counts()
	}
	v := n.nodes[0]
	for name, bad := range n.badTransactions(t) {
		// What waits is told by ValidateTransaction; the others by all three ways.
		r, err := v.running.ValidateTransaction(t.Context(), &notaryv1.ValidateTransactionRequest{Transaction: bad.raw})
		if err != nil || r.Rejection.GetReason() != bad.reason {
			t.Errorf("%s: validated as %v, %v, want %v", name, r.GetRejection(), err, bad.reason)
			continue
		}
		h[bad.reason] = true
		if bad.waits {
			continue
		}
		_, err = v.submit(t, bad.raw, waitFinal)
		h.want(t, name, err, bad.reason)
		if got := v.submitREST(t, bad.raw, "20S"); got != bad.reason {
			t.Errorf("%s: REST says %v, want %v", name, got, bad.reason)
		}
	}
	for i, v := range n.nodes {
		if after := v.running.store.Counts(); after != before[i] {
			t.Errorf("node %d counts %+v, before %+v", v.index, after, before[i])
		}
	}
	n.equalLedgers(t)
}

// badTransactions are transactions with one thing wrong each.
func (n *network) badTransactions(t *testing.T) map[string]badTransaction {
	t.Helper()
	const soon = 3_600_000
	pay := func(i int) *utxo.Builder { return n.spend(n.coin(i)).Pay(addressOf(bob), utxo.Product{}, coinValue) }
	raw := func(b *utxo.Builder, keys ...domain.PrivateKey) []byte { return n.sign(b, keys...).Raw }
	good := raw(pay(1), alice)
	unknown := utxo.Outpoint{Tx: domain.Sum(domain.TagTx, []byte("nobody made this"))}
	bad := map[string]badTransaction{
		"too large":       {reason: notaryv1.Reason_REASON_TOO_LARGE, raw: make([]byte, utxo.MaxTxBytes+1)},
		"cut":             {reason: notaryv1.Reason_REASON_MALFORMED, raw: good[:len(good)-1]},
		"unknown field":   {reason: notaryv1.Reason_REASON_NON_CANONICAL, raw: append(bytes.Clone(good), 0xf8, 0x01, 0x01)},
		"nothing":         {reason: notaryv1.Reason_REASON_MISSING_FIELD},
		"bad signature":   {reason: notaryv1.Reason_REASON_BAD_SIGNATURE, raw: flip(good)},
		"window closed":   {reason: notaryv1.Reason_REASON_WINDOW_CLOSED, raw: raw(pay(1).Window(0, 1), alice)},
		"window not open": {reason: notaryv1.Reason_REASON_WINDOW_NOT_OPEN, raw: raw(pay(1).Window(nowMS()+soon, 0), alice), waits: true},
		"unknown output": {reason: notaryv1.Reason_REASON_UNKNOWN_OUTPOINT, waits: true,
			raw: raw(n.spend(unknown).Pay(addressOf(bob), utxo.Product{}, 1), alice)},
		"spent":               {reason: notaryv1.Reason_REASON_OUTPOINT_SPENT, raw: raw(pay(0).Memo([]byte("again")), alice)},
		"time lock":           {reason: notaryv1.Reason_REASON_LOCK_NOT_OPEN, raw: raw(pay(atLocked), alice), waits: true},
		"no witness":          {reason: notaryv1.Reason_REASON_MISSING_WITNESS, raw: raw(pay(1))},
		"a witness too many":  {reason: notaryv1.Reason_REASON_UNUSED_WITNESS, raw: raw(pay(1), alice, carol)},
		"counterparty silent": {reason: notaryv1.Reason_REASON_COUNTERPARTY_MISSING, raw: raw(pay(atBoth), alice)},
		"product from nowhere": {reason: notaryv1.Reason_REASON_UNKNOWN_PRODUCT,
			raw: raw(pay(1).Pay(addressOf(bob), domain.Sum(domain.TagProduct, []byte("gold")), 1), alice)},
		"unbalanced":   {reason: notaryv1.Reason_REASON_UNBALANCED, raw: raw(pay(1).Pay(addressOf(bob), utxo.Product{}, 1), alice)},
		"reward spent": {reason: notaryv1.Reason_REASON_RESERVED_OUTPUT, raw: raw(pay(atFirstReward), alice)},
	}
	n.badBodies(t, bad)
	n.badWitnesses(t, bad)
	return bad
}

// badBodies adds what a builder would refuse to build.
func (n *network) badBodies(t *testing.T, bad map[string]badTransaction) {
	t.Helper()
	payment := notaryv1.OutputKind_OUTPUT_KIND_PAYMENT
	for _, c := range []struct {
		name   string
		reason notaryv1.Reason
		edit   func(*notaryv1.TransactionBody)
	}{
		{"memo too long", notaryv1.Reason_REASON_LIMIT_EXCEEDED, func(b *notaryv1.TransactionBody) { b.Memo = make([]byte, 257) }},
		{"another network", notaryv1.Reason_REASON_WRONG_NETWORK, func(b *notaryv1.TransactionBody) { b.Network = bytes.Repeat([]byte{7}, 32) }},
		{"unknown kind", notaryv1.Reason_REASON_UNKNOWN_KIND, func(b *notaryv1.TransactionBody) { b.Inputs[0].Kind = 99 }},
		{"nothing spent", notaryv1.Reason_REASON_NO_SPEND, func(b *notaryv1.TransactionBody) {
			b.Inputs[0].Kind = notaryv1.InputKind_INPUT_KIND_READ
		}},
		{"no output", notaryv1.Reason_REASON_NO_OUTPUT, func(b *notaryv1.TransactionBody) { b.Outputs = nil }},
		{"outpoint twice", notaryv1.Reason_REASON_DUPLICATE_OUTPOINT, func(b *notaryv1.TransactionBody) { b.Inputs = append(b.Inputs, b.Inputs[0]) }},
		{"window backwards", notaryv1.Reason_REASON_INVALID_WINDOW, func(b *notaryv1.TransactionBody) { b.ValidFromMs, b.ValidUntilMs = 2, 1 }},
		{"nothing paid", notaryv1.Reason_REASON_ZERO_AMOUNT, func(b *notaryv1.TransactionBody) { b.Outputs[0].Amount = 0 }},
		{"too much paid", notaryv1.Reason_REASON_AMOUNT_OVERFLOW, func(b *notaryv1.TransactionBody) {
			b.Outputs = append(b.Outputs, &notaryv1.Output{Address: b.Outputs[0].Address, Amount: 1<<64 - 1, Kind: payment})
		}},
		{"fee with an age", notaryv1.Reason_REASON_INVALID_OUTPUT, func(b *notaryv1.TransactionBody) {
			b.Outputs = append(b.Outputs, &notaryv1.Output{Amount: 1, Kind: notaryv1.OutputKind_OUTPUT_KIND_FEE, MinAgeMs: 1})
		}},
	} {
		body := new(notaryv1.TransactionBody)
		draft, err := n.spend(n.coin(1)).Pay(addressOf(bob), utxo.Product{}, coinValue).Build()
		if err != nil {
			t.Fatal(err)
		}
		if err := proto.Unmarshal(draft.Body(), body); err != nil {
			t.Fatal(err)
		}
		c.edit(body)
		encoded := marshal(t, body)
		bad[c.name] = badTransaction{reason: c.reason, raw: n.seal(t, encoded, n.witness(encoded, alice))}
	}
}

// badWitnesses adds what is wrong with witnesses.
func (n *network) badWitnesses(t *testing.T, bad map[string]badTransaction) {
	t.Helper()
	for _, c := range []struct {
		name   string
		reason notaryv1.Reason
		coin   int
		make   func(body []byte) []*notaryv1.Witness
	}{
		{"threshold of none", notaryv1.Reason_REASON_INVALID_LOCK, 1, func(body []byte) []*notaryv1.Witness {
			w := n.witness(body, alice)
			w.Lock.Threshold = 0
			return []*notaryv1.Witness{w}
		}},
		{"one signature of two", notaryv1.Reason_REASON_INVALID_WITNESS, atShared, func(body []byte) []*notaryv1.Witness {
			w := n.witness(body, alice)
			w.Lock = lockOf(t, sharedLock)
			return []*notaryv1.Witness{w}
		}},
		{"witness twice", notaryv1.Reason_REASON_DUPLICATE_WITNESS, 1, func(body []byte) []*notaryv1.Witness {
			return []*notaryv1.Witness{n.witness(body, alice), n.witness(body, alice)}
		}},
		{"wrong preimage", notaryv1.Reason_REASON_WRONG_PREIMAGE, atHash, func(body []byte) []*notaryv1.Witness {
			w := n.witness(body, alice)
			w.Lock, w.Preimage = lockOf(t, hashLock), bytes.Repeat([]byte{8}, 32)
			return []*notaryv1.Witness{w}
		}},
	} {
		draft, err := n.spend(n.coin(c.coin)).Pay(addressOf(bob), utxo.Product{}, coinValue).Build()
		if err != nil {
			t.Fatal(err)
		}
		bad[c.name] = badTransaction{reason: c.reason, raw: n.seal(t, draft.Body(), c.make(draft.Body())...)}
	}
}

// witness signs a body with one key, whatever the body says.
func (n *network) witness(body []byte, key domain.PrivateKey) *notaryv1.Witness {
	public := key.Public()
	s := domain.Sign(key, domain.TagTx, n.genesis.ID, domain.Sum(domain.TagTx, body))
	return &notaryv1.Witness{
		Lock:       &notaryv1.Lock{Threshold: 1, Keys: [][]byte{public[:]}},
		Signatures: []*notaryv1.LockSignature{{Signature: s[:]}},
	}
}

func (n *network) seal(t *testing.T, body []byte, witnesses ...*notaryv1.Witness) []byte {
	t.Helper()
	return marshal(t, &notaryv1.Transaction{Body: body, Witnesses: witnesses})
}

// submitREST submits through the REST gateway, with the header Grpc-Timeout, and returns the reason of the answer.
func (v *notary) submitREST(t *testing.T, raw []byte, timeout string) notaryv1.Reason {
	t.Helper()
	body, err := json.Marshal(map[string]string{
		"transaction": base64.StdEncoding.EncodeToString(raw), "waitFor": "WAIT_LEVEL_FINAL",
	})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.running.rest+"/v1/transactions", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Grpc-Timeout", timeout)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var status struct {
		Details []struct {
			Type   string `json:"@type"`
			Reason string `json:"reason"`
		} `json:"details"`
	}
	if err := json.Unmarshal(answer, &status); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	for _, d := range status.Details {
		if d.Type == "type.googleapis.com/google.rpc.ErrorInfo" {
			return notaryv1.Reason(notaryv1.Reason_value["REASON_"+d.Reason])
		}
	}
	t.Logf("no ErrorInfo in %s", answer)
	return notaryv1.Reason_REASON_UNSPECIFIED
}

// reasonsUndecided are those of a node that cannot bring anything to an end, since half of the weight is
// missing; when it comes, the contest is decided.
func reasonsUndecided(t *testing.T, h heard) {
	n := start(t, 4, setup{down: []int{2, 3}, node: func(c *node.Config) {
		c.Contests.MaxRivals, c.MaxInFlight = 2, 12
	}})
	v := n.nodes[0]
	first := n.pay(bob, 0, 0)
	v.mustSubmit(t, first, waitPending)
	_, err := v.running.GetAcceptanceProof(t.Context(), &notaryv1.GetAcceptanceProofRequest{TransactionId: first.ID[:]})
	h.want(t, "proof of what is not final", err, notaryv1.Reason_REASON_NOT_FINAL)

	// The deadline is the node's alone: a client that has one too may be the first to end the call.
	if got := v.submitREST(t, first.Raw, "300m"); got != notaryv1.Reason_REASON_WAIT_EXPIRED {
		t.Errorf("deadline: %v", got)
	}
	h[notaryv1.Reason_REASON_WAIT_EXPIRED] = true

	rivals, busy := []*utxo.Tx{first}, 0
	var full error
	eventually(t, "an outpoint to have its fill of rivals", func() bool {
		left := 0
		for _, tx := range rivals {
			if s := v.status(t, tx.ID); s.GetState() == stateRejected {
				full = refusal.New(s.Rejection.GetReason(), "", "")
			} else {
				left++
			}
		}
		if left < 5 { // the contest turns them away one after another, later; and of twelve one client may have half
			rivals = append(rivals, n.pay(carol, len(rivals), 0))
			v.mustSubmit(t, rivals[len(rivals)-1], waitNone)
		}
		return full != nil
	})
	if got := refusal.ReasonOf(full); got != notaryv1.Reason_REASON_TOO_MANY_RIVALS {
		t.Errorf("a rival too many is refused with %v", got)
	}
	h[refusal.ReasonOf(full)] = true

	eventually(t, "too many to be on their way", func() bool {
		busy++
		_, err = v.submit(t, n.pay(bob, 0, busy).Raw, waitNone)
		return err != nil
	})
	h.want(t, "too many on their way", err, notaryv1.Reason_REASON_OVERLOADED)

	// Whichever wins, one that this node turned away included: others may have had room for it.
	live := make(map[domain.Hash]bool)
	for _, tx := range rivals {
		if v.status(t, tx.ID).GetState() != stateRejected {
			live[tx.ID] = true
		}
	}
	n.nodes[2].start(t)
	n.nodes[3].start(t)
	delete(live, n.winner(t, rivals...).ID)
	if len(live) == 0 {
		t.Fatal("no rival was left")
	}
	for id := range live {
		eventually(t, "the losers to be rejected", func() bool { return v.status(t, id).GetState() == stateRejected })
		r := v.status(t, id).Rejection.GetReason()
		if r != notaryv1.Reason_REASON_DOUBLE_SPEND && r != notaryv1.Reason_REASON_OUTPOINT_SPENT && r != notaryv1.Reason_REASON_TOO_MANY_RIVALS {
			t.Errorf("a loser is rejected with %v", r)
		}
		h[r] = true
	}
}

// reasonsOfService are those of calls, policy and operation.
func reasonsOfService(t *testing.T, h heard) {
	n := start(t, 4, setup{down: []int{1, 2, 3}})
	dear, busy, full := n.nodes[1], n.nodes[2], n.nodes[3]
	dear.tune = func(c *node.Config) { c.Fees.MinUnits, c.Heartbeat = 1, time.Hour }
	busy.tuneAPI = func(c *api.Config) { c.Limits.CallsPerSecond, c.Limits.CallBurst = 0.001, 1 }
	full.reserve = 1 << 62
	dear.start(t)
	full.start(t)
	v := n.nodes[0]
	n.meet(t)

	_, err := v.running.GetTransaction(t.Context(), &notaryv1.GetTransactionRequest{TransactionId: make([]byte, 31)})
	h.want(t, "an id of 31 bytes", err, notaryv1.Reason_REASON_INVALID_ARGUMENT)
	_, err = v.running.GetTransaction(t.Context(), &notaryv1.GetTransactionRequest{TransactionId: bytes.Repeat([]byte{1}, 32)})
	h.want(t, "an unknown id", err, notaryv1.Reason_REASON_NOT_FOUND)
	err = v.running.conn.Invoke(t.Context(), "/notary.v1.NotaryService/NoSuchMethod", &notaryv1.GetNetworkRequest{}, &notaryv1.GetNetworkResponse{})
	h.want(t, "an unknown method", err, notaryv1.Reason_REASON_UNIMPLEMENTED)
	_, err = dear.submit(t, n.pay(bob, 0, 0).Raw, waitFinal)
	h.want(t, "no fee", err, notaryv1.Reason_REASON_FEE_TOO_LOW)
	tries := 0
	eventually(t, "the full node to see that it is", func() bool {
		tries++
		_, err = full.submit(t, n.pay(bob, tries, 1).Raw, waitNone)
		return err != nil
	})
	h.want(t, "a full disk", err, notaryv1.Reason_REASON_STORE_FULL)

	busy.start(t)
	eventually(t, "the busy node to be busy", func() bool {
		_, err = busy.running.GetNetwork(t.Context(), &notaryv1.GetNetworkRequest{})
		return err != nil
	})
	h.want(t, "one call too many", err, notaryv1.Reason_REASON_RATE_LIMITED)

	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := v.running.node.Drain(soon); err != nil {
		t.Error(err)
	}
	_, err = v.submit(t, n.pay(bob, 0, 2).Raw, waitFinal)
	h.want(t, "draining", err, notaryv1.Reason_REASON_SHUTTING_DOWN)

	// Alone and silent, it has nothing to write, and does not notice by itself.
	for _, other := range []*notary{v, busy, full} {
		other.kill(t)
	}
	dear.breaks = true
	if err := dear.running.store.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = dear.running.GetBalance(t.Context(), &notaryv1.GetBalanceRequest{Address: text(n, addressOf(bob))})
	h.want(t, "a store that is gone", err, notaryv1.Reason_REASON_INTERNAL)
}

// TestReasonNames: what REST and gRPC call a reason is its name without the prefix.
func TestReasonNames(t *testing.T) {
	for r := range notProduced {
		if name := refusal.Name(r); "REASON_"+name != r.String() {
			t.Errorf("%v is called %q", r, name)
		}
	}
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := canonical.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func lockOf(t *testing.T, l utxo.Lock) *notaryv1.Lock {
	t.Helper()
	p := new(notaryv1.Lock)
	if err := proto.Unmarshal(l.Bytes(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// flip changes the last byte, which is one of a signature.
func flip(raw []byte) []byte {
	out := bytes.Clone(raw)
	out[len(out)-1] ^= 1
	return out
}
