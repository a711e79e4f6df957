package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// print writes a result: as JSON for programs, else as human writes it.
func (a *app) print(v any, human func(w io.Writer)) error {
	out := &noting{w: a.out}
	if !a.json {
		human(out)
	} else {
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return fmt.Errorf("print: %w", err)
		}
		fmt.Fprintf(out, "%s\n", b)
	}
	if out.err != nil {
		return fmt.Errorf("the result could not be written: %w", out.err)
	}
	return nil
}

// noting remembers the first error of a writer and writes nothing after it: a result of which a part is lost is lost.
type noting struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (n *noting) Write(b []byte) (int, error) {
	if n.err != nil {
		return 0, n.err
	}
	written, err := n.w.Write(b)
	n.err = err
	return written, err
}

// table aligns columns that are separated by tabs.
func table(w io.Writer, rows func(w io.Writer)) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows(t)
	t.Flush() // the writer below reports its own errors
}

// units are base units in JSON: text, since numbers above 2^53 lose digits in many languages.
type units uint64

// MarshalJSON implements json.Marshaler.
func (u units) MarshalJSON() ([]byte, error) {
	return []byte(`"` + strconv.FormatUint(uint64(u), 10) + `"`), nil
}

// coins writes an amount of the native coin for people.
func coins(amount uint64) string {
	text := client.FormatAmount(amount, client.CoinDecimals)
	if text == "1" {
		return "1 coin"
	}
	return text + " coins"
}

// percent writes a share of a group's weight.
func percent(weight uint64) string {
	tenths := (weight*1000 + uint64(group.Total)/2) / uint64(group.Total)
	return fmt.Sprintf("%d.%d %%", tenths/10, tenths%10)
}

// instant writes Unix milliseconds for people, in UTC.
func instant(ms uint64) string {
	return time.UnixMilli(int64(min(ms, math.MaxInt64))).UTC().Format("2006-01-02 15:04:05.000 UTC")
}

// short names a hash where room is scarce: enough to tell things apart, never to be typed in.
func short(hash string) string { return hash[:min(len(hash), 12)] + "…" }

// stateName is a state as people read it, in lower case.
func stateName(s notaryv1.TransactionState) string {
	switch s {
	case notaryv1.TransactionState_TRANSACTION_STATE_RESOLVING:
		return "resolving"
	case notaryv1.TransactionState_TRANSACTION_STATE_HELD:
		return "held"
	case notaryv1.TransactionState_TRANSACTION_STATE_VALID:
		return "valid"
	case notaryv1.TransactionState_TRANSACTION_STATE_PENDING:
		return "pending"
	case notaryv1.TransactionState_TRANSACTION_STATE_ACCEPTED:
		return "accepted"
	case notaryv1.TransactionState_TRANSACTION_STATE_FINAL:
		return "final"
	case notaryv1.TransactionState_TRANSACTION_STATE_REJECTED:
		return "rejected"
	case notaryv1.TransactionState_TRANSACTION_STATE_CONTESTED:
		return "contested"
	}
	return "unknown"
}

// productText is a product in JSON: empty for the native coin.
func productText(p utxo.Product) string {
	if p.IsZero() {
		return ""
	}
	return p.String()
}
