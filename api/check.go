package api

import (
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// What requests are held to before a backend sees them. Text is counted in bytes.
const (
	maxAddress       = 128
	maxCursor        = 128
	maxPageToken     = 512
	defaultPage      = 100
	maxPage          = 1000
	maxQuery         = 256
	fieldTransaction = "transaction"
	fieldID          = "transaction_id"
	fieldPeer        = "peer_id"
	fieldExplain     = "explain"
	fieldKey         = "node_key"
	fieldRater       = "rater"
	fieldRatee       = "ratee"
)

// names of the fields that hold an id or a key.
var names = map[string]string{
	fieldID: "transaction id", fieldPeer: "peer id", fieldExplain: "peer id", fieldKey: "node key", fieldRater: "peer id", fieldRatee: "peer id",
}

// checkID reads an id or a key.
func checkID(field string, b []byte) (domain.Hash, error) {
	if len(b) == 0 {
		return domain.Hash{}, refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, field, "a %s is needed", names[field])
	}
	id, err := domain.HashFrom(b)
	if err != nil {
		return domain.Hash{}, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, field,
			"a %s has 32 bytes, not %d", names[field], len(b))
	}
	return id, nil
}

// checkTransaction bounds the bytes of a transaction.
func checkTransaction(raw []byte) error {
	switch n := len(raw); {
	case n == 0:
		return refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, fieldTransaction, "a transaction is needed")
	case n > maxTransactionBytes:
		return refusal.New(notaryv1.Reason_REASON_TOO_LARGE, fieldTransaction,
			"a transaction has at most %d bytes, not %d", maxTransactionBytes, n)
	default:
		return nil
	}
}

// checkLevel reads a wait level; UNSPECIFIED is NONE.
func checkLevel(level notaryv1.WaitLevel) (notaryv1.WaitLevel, error) {
	switch level {
	case notaryv1.WaitLevel_WAIT_LEVEL_UNSPECIFIED:
		return notaryv1.WaitLevel_WAIT_LEVEL_NONE, nil
	case notaryv1.WaitLevel_WAIT_LEVEL_NONE, notaryv1.WaitLevel_WAIT_LEVEL_PENDING,
		notaryv1.WaitLevel_WAIT_LEVEL_ACCEPTED, notaryv1.WaitLevel_WAIT_LEVEL_FINAL:
		return level, nil
	default:
		return 0, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "wait_for", "there is no wait level %d", level)
	}
}

// checkAddress bounds an address; what it says is for the backend, which knows the network's prefix.
func checkAddress(address string) error {
	if address == "" {
		return refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, "address", "an address is needed")
	}
	return checkText("address", address, maxAddress)
}

// checkPage reads a page size and bounds a page token.
func checkPage(size uint32, token string) (int, error) {
	if size > maxPage {
		return 0, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "page_size", "a page has at most %d entries, not %d", maxPage, size)
	}
	if size == 0 {
		size = defaultPage
	}
	return int(size), checkText("page_token", token, maxPageToken)
}

// checkText refuses text that is too long or not printable ASCII.
func checkText(field, s string, limit int) error {
	if len(s) > limit {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, field, "at most %d bytes, not %d", limit, len(s))
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, field, "byte %d is not printable ASCII", i)
		}
	}
	return nil
}
