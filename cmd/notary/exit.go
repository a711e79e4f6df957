package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/runtimefile"
	"github.com/notarynet/notaryd/client/wallet"
	"github.com/notarynet/notaryd/observation"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Exit codes. They are stable: scripts rely on them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitWeight      = 2
	exitNoTrustRoot = 3
	exitUsage       = 4
	exitUnreachable = 5
	exitNetwork     = 6
	exitWallet      = 7
	exitFunds       = 8
	exitOpen        = 9
	exitRefused     = 10
)

const exitCodesText = `Exit codes are stable; scripts may rely on them.

   0  done; for verify and proof verify: the proof is valid
   1  failed; for verify and proof verify: the proof is invalid or of another file
   2  the proof is sound but too little weight stands behind it; for tx watch: final, and held by the node
   3  no trust root: the genesis document of the proof's network is not known here
   4  wrong usage: an unknown command or flag, a bad address, amount or payment URI
   5  no node could be reached, or it is overloaded
   6  wrong network: the node, address or proof belongs to another one
   7  the wallet is missing, damaged or locked: see the reason
   8  not enough funds
   9  not there yet: time ran out, something failed on the way, or a node refused it and proved nothing; a transaction
      may still become final
  10  proven: it will never be final, for another transaction has spent one of its coins; or the node refuses the request

Every error is one line on standard error and ends with its reason in brackets, such as
[DOUBLE_SPEND]; with --json it is a JSON object with the keys reason, field, message, hint and exit_code.
`

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "Exit codes and errors, for scripts", Long: exitCodesText}
}

// failure is an error with all that a person needs: what, why, and what to do.
type failure struct {
	exit   int
	reason string
	hint   string
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// usage is a command line that cannot be meant.
func usage(format string, args ...any) error {
	return &failure{exitUsage, "USAGE", "see notary help", fmt.Errorf(format, args...)}
}

// verdictFailed reports a verification that was carried out and printed: only the code is left to say.
type verdictFailed struct{ exit int }

func (v *verdictFailed) Error() string { return fmt.Sprintf("exit code %d", v.exit) }

// fail reports an error and returns its exit code.
func (a *app) fail(err error) int {
	var told *verdictFailed
	if errors.As(err, &told) {
		return told.exit
	}
	f := explain(err)
	message := strings.TrimRight(strings.ReplaceAll(f.err.Error(), "\n", ": "), ".")
	var field string
	var r *refusal.Error
	if errors.As(err, &r) {
		// The reason stands at the end of the line, not in the middle of it too.
		field = r.Field
		message = strings.Replace(message, r.Error(), plain(r), 1)
	}
	message = printable(message)
	if a.json {
		b, marshalErr := json.Marshal(map[string]any{
			"reason": f.reason, "field": field, "message": message, "hint": f.hint, "exit_code": f.exit,
		})
		if marshalErr == nil {
			a.tell("%s", b)
			return f.exit
		}
	}
	line := "notary: " + message
	if f.hint != "" {
		line += "; " + f.hint
	}
	a.tell("%s [%s]", line, f.reason)
	return f.exit
}

// plain is a refusal without its reason.
func plain(r *refusal.Error) string {
	switch {
	case r.Detail == "":
		return strings.ToLower(strings.ReplaceAll(refusal.Name(r.Reason), "_", " "))
	case r.Field == "":
		return r.Detail
	}
	return r.Field + ": " + r.Detail
}

// explain finds out what an error is by its type and reason, never by its text.
func explain(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return &failure{f.exit, f.reason, f.hint, err}
	}
	for _, rule := range []func(error) *failure{explainFunds, explainWallet, explainProof, explainInput, explainNode} {
		if f := rule(err); f != nil {
			if f.err == nil {
				f.err = err
			}
			return f
		}
	}
	return &failure{exitFailed, "FAILED", "", err}
}

func explainFunds(err error) *failure {
	var short *client.FundsError
	if !errors.As(err, &short) {
		return nil
	}
	hint := "receive some first (on a devnet: notary faucet)"
	switch {
	case short.Tied > 0:
		hint = "wait until the payments under way are final (notary tx pending), or have their coins back with notary tx cancel"
	case short.Scattered > 0:
		hint = "send a part of it to yourself first, which joins small coins"
	}
	return &failure{exit: exitFunds, reason: "INSUFFICIENT_FUNDS", hint: hint, err: shortage{short}}
}

// shortage says in coins what a FundsError says in base units.
type shortage struct{ *client.FundsError }

func (s shortage) Error() string {
	amount := coins
	if !s.Product.IsZero() {
		amount = func(n uint64) string { return fmt.Sprintf("%d units of product %s", n, short(s.Product.String())) }
	}
	text := fmt.Sprintf("not enough funds: %s needed, %s to spend", amount(s.Need), amount(s.Have))
	for _, part := range []struct {
		amount uint64
		where  string
	}{{s.Tied, "in transactions under way"}, {s.Locked, "not to be spent now"}, {s.Scattered, "in too many small coins"}} {
		if part.amount > 0 {
			text += fmt.Sprintf(", %s %s", amount(part.amount), part.where)
		}
	}
	return text
}

func (s shortage) Unwrap() error { return s.FundsError }

func explainWallet(err error) *failure {
	for _, known := range []struct {
		err          error
		reason, hint string
	}{
		{wallet.ErrBusy, "BUSY", "wait for the other program, or give it longer with --timeout"},
		{wallet.ErrPassphrase, "WRONG_PASSPHRASE", "try again; a forgotten passphrase is replaced by restoring the wallet from its 24 words"},
		{wallet.ErrNoWallet, "NO_WALLET", "make one with notary wallet new, or see notary wallet list"},
		{wallet.ErrExists, "WALLET_EXISTS", "choose another name"},
		{wallet.ErrWords, "INVALID_WORDS", "check the spelling and the order"},
		{wallet.ErrName, "INVALID_NAME", "use 1 to 32 lower-case letters, digits, dashes and underscores"},
		{wallet.ErrCorrupt, "DAMAGED_FILE", "restore it from a backup or from the 24 words"},
	} {
		if errors.Is(err, known.err) {
			return &failure{exit: exitWallet, reason: known.reason, hint: known.hint}
		}
	}
	return nil
}

func explainProof(err error) *failure {
	var bad *client.ProofError
	switch {
	case errors.As(err, &bad):
		hint := "ask another node with --node"
		if bad.Conclusion == observation.NotEnoughWeight {
			hint = "ask again later"
		}
		return &failure{exit: bad.Conclusion.ExitCode(), reason: name(bad.Err), hint: hint}
	case errors.Is(err, wallet.ErrUnknownNetwork):
		return &failure{exit: exitNoTrustRoot, reason: "NO_TRUST_ROOT", hint: "get the network's genesis file from a source you trust and run notary network trust FILE"}
	}
	return nil
}

func explainInput(err error) *failure {
	switch {
	case errors.Is(err, client.ErrAmount):
		return &failure{exit: exitUsage, reason: "INVALID_AMOUNT", hint: "write it like 12.5"}
	case errors.Is(err, client.ErrURI):
		return &failure{exit: exitUsage, reason: "INVALID_URI", hint: "it looks like notary:ADDRESS?amount=BASEUNITS"}
	case errors.Is(err, runtimefile.ErrNone):
		return &failure{exit: exitUnreachable, reason: "NO_NODE", hint: "start a devnet with notaryd devnet, or name a node with --node"}
	case errors.Is(err, runtimefile.ErrInvalid):
		return &failure{exit: exitUnreachable, reason: "NO_NODE", hint: "start the devnet anew, or name a node with --node"}
	}
	return nil
}

// explainNode speaks of what a node or the network answered.
func explainNode(err error) *failure {
	var dead *client.DeadError
	if errors.As(err, &dead) {
		return &failure{exit: exitRefused, reason: name(err), hint: hintForDead(dead)}
	}
	var unproven *client.UnprovenError
	if errors.As(err, &unproven) {
		return &failure{exit: exitOpen, reason: name(err), hint: hintForUnproven(unproven)}
	}
	reason := refusal.ReasonOf(err)
	var e *client.Error
	remote := errors.As(err, &e)
	switch {
	case reason == notaryv1.Reason_REASON_WRONG_NETWORK:
		return &failure{exit: exitNetwork, reason: name(err), hint: "check --node and the address; notary network list shows what is trusted here"}
	case errors.Is(err, context.DeadlineExceeded), reason == notaryv1.Reason_REASON_WAIT_EXPIRED:
		return &failure{exit: exitOpen, reason: "WAIT_EXPIRED", hint: "give it longer with --timeout"}
	case errors.Is(err, context.Canceled):
		return &failure{exit: exitOpen, reason: "INTERRUPTED", hint: "what was submitted goes on without you"}
	case remote && e.Temporary():
		if reason == notaryv1.Reason_REASON_UNSPECIFIED {
			return &failure{exit: exitUnreachable, reason: "UNREACHABLE", hint: "check that the node runs, and --node"}
		}
		return &failure{exit: exitUnreachable, reason: name(err), hint: "try again in a moment"}
	case reason == notaryv1.Reason_REASON_NOT_FINAL:
		return &failure{exit: exitOpen, reason: name(err), hint: "follow it with notary tx watch"}
	case remote && client.Refused(err):
		return &failure{exit: exitRefused, reason: name(err)}
	case remote && reason == notaryv1.Reason_REASON_UNSPECIFIED:
		return &failure{exit: exitFailed, reason: strings.ToUpper(e.Code.String()), hint: hintForCode(e.Code)}
	case reason != notaryv1.Reason_REASON_UNSPECIFIED && !remote:
		return &failure{exit: exitUsage, reason: name(err)}
	case reason != notaryv1.Reason_REASON_UNSPECIFIED:
		return &failure{exit: exitFailed, reason: name(err)}
	}
	return nil
}

func name(err error) string { return refusal.Name(refusal.ReasonOf(err)) }

func hintForDead(dead *client.DeadError) string {
	if dead.Rival.IsZero() {
		return "nothing was paid"
	}
	return "nothing was paid: a coin was spent elsewhere, perhaps by a copy of this wallet; see notary tx get " + dead.Rival.String()
}

func hintForUnproven(unproven *client.UnprovenError) string {
	id := unproven.ID.String()
	hint := "ask another node with notary tx resubmit " + id + " --node HOST:PORT, or have its coins back with notary tx cancel " + id + ", before you pay anew"
	if refusal.ReasonOf(unproven.Said) == notaryv1.Reason_REASON_WINDOW_CLOSED {
		hint += "; check this machine's clock, too"
	}
	return hint
}

func hintForCode(code codes.Code) string {
	if code == codes.Unimplemented {
		return "the node is older than this program, or no notary node at all"
	}
	return "check --node"
}
