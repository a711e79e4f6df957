package lifecycle

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

var update = flag.Bool("update", false, "rewrite the right-hand sides of testdata/*.txt")

// TestTranscripts plays testdata/*.txt. A line is an input, "->", and the effects it must have; a line
// "tx NAME" begins a new machine on one of the transactions of world_test.go. "!" begins what happens
// around the machine: "!clock" moves time on by a day, "!adopt" makes the child's parent final, "!taken"
// makes a rival final. To see what changed after a change on purpose: go test ./node/lifecycle -update
// and read the diff.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(raw))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(raw) {
				t.Errorf("%s\n%s", file, differences(string(raw), got))
			}
		})
	}
}

func differences(want, got string) string {
	var b strings.Builder
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range w {
		if i < len(g) && w[i] != g[i] {
			fmt.Fprintf(&b, "line %d\n  want %s\n  got  %s\n", i+1, w[i], g[i])
		}
	}
	return b.String()
}

// stage is a machine and what is around it.
type stage struct {
	machine *Machine
	tx      *utxo.Tx
	set     *utxo.Set
	nowMS   uint64
}

// play runs a transcript and returns it with the effects that came.
func play(t *testing.T, text string) string {
	t.Helper()
	txs := transactions(t)
	var s *stage
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		left, _, _ := strings.Cut(line, "->")
		left = strings.TrimSpace(left)
		switch words := strings.Fields(left); {
		case left == "" || strings.HasPrefix(left, "#"):
		case words[0] == "tx":
			tx := txs[words[1]]
			if tx == nil {
				t.Fatalf("line %d: no transaction %q", i+1, words[1])
			}
			var fees utxo.FeePolicy
			if len(words) > 2 && words[2] == "fee" {
				fees.MinUnits = 1
			}
			s = &stage{machine: NewMachine(tx, &fees), tx: tx, set: world(t), nowMS: now}
		case strings.HasPrefix(left, "!"):
			s.happen(t, left[1:])
		default:
			effects := s.machine.Step(s.input(t, left))
			shown := make([]string, len(effects))
			for j, e := range effects {
				shown[j] = show(e)
			}
			right := strings.Join(shown, "; ")
			if right == "" {
				right = "nothing"
			}
			lines[i] = fmt.Sprintf("%-22s -> %s", left, right)
		}
	}
	return strings.Join(lines, "\n")
}

func (s *stage) happen(t *testing.T, what string) {
	t.Helper()
	switch what {
	case "clock":
		s.nowMS += day
	case "adopt":
		adopt(t, s.set)
	case "taken":
		take(t, s.set, s.tx)
	default:
		t.Fatalf("nothing is called !%s", what)
	}
}

var errLocked = fmt.Errorf("%w", conflict.ErrLocked)

// input reads one input; a number in brackets is its round.
func (s *stage) input(t *testing.T, text string) Input {
	t.Helper()
	name, arg, _ := strings.Cut(strings.TrimSuffix(text, ")"), "(")
	var round uint32
	if arg != "" {
		if _, err := fmt.Sscan(arg, &round); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
	inputs := map[string]Input{
		"begin": Begin{}, "woken": Woken{}, "stalled": Stalled{}, "supported": Supported{}, "expired": Expired{}, "crowded": Crowded{},
		"looked": look(s.tx, s.set, s.nowMS), "verified": verify(s.tx),
		"judged right": Judged{}, "judged wrong": Judged{refusal.New(notaryv1.Reason_REASON_WRONG_GROUP, "outputs[0]", "")},
		"judged too early": Judged{refusal.New(notaryv1.Reason_REASON_UNKNOWN_EVIDENCE, "outputs[0]", "")},
		"not verified":     Verified{Err: utxo.BadSignature(s.tx, 0)},
		"claimed alone":    Claimed{}, "claimed beside rival": Claimed{Rivals: []domain.Hash{rivalID}}, "rivaled": Rivaled{rivalID},
		"voted PENDING": Voted{observation.Pending, round}, "voted ACCEPTED": Voted{observation.Accepted, round},
		"voted ABSTAIN":   Voted{observation.Abstain, round},
		"refused PENDING": Refused{observation.Pending, round, errLocked}, "refused ACCEPTED": Refused{observation.Accepted, round, errLocked},
		"refused spent": Refused{observation.Pending, round, refusal.New(notaryv1.Reason_REASON_OUTPOINT_SPENT, "inputs", "by a rival")},
		"third":         milestone(s.tx, conflict.Third, round), "certificate": milestone(s.tx, conflict.Certificate, round),
		"certificate and ACCEPTED": Counted{Kind: conflict.Certificate, Round: round, Group: members, Cast: true},
		"final":                    milestone(s.tx, conflict.Final, round), "committed": Committed{s.nowMS}, "lost": Lost{rivalID},
		"displaced":        Displaced{refusal.New(notaryv1.Reason_REASON_TOO_MANY_RIVALS, "inputs", "")},
		"restored PENDING": Restored{Pending: true, Round: round}, "restored ACCEPTED": Restored{Accepted: true, Round: round},
	}
	in, ok := inputs[name]
	if !ok {
		t.Fatalf("no input is called %q", name)
	}
	return in
}

// show is an effect as transcripts have it.
func show(e Effect) string {
	switch e := e.(type) {
	case Cast:
		s := fmt.Sprintf("CAST %v(%d)", e.State, e.Round)
		if e.Certificate.Known {
			s += fmt.Sprintf(" by certificate %d", e.Certificate.Round)
		}
		return s
	case Hold:
		s := "hold"
		if len(e.Parents) > 0 {
			s += fmt.Sprintf(" for %d parents", len(e.Parents))
		}
		if e.UntilMS > 0 {
			s += fmt.Sprintf(" until now%+d", int64(e.UntilMS)-now)
		}
		if e.Certified {
			s += " certified"
		}
		if e.Anew {
			s += " anew"
		}
		return s
	case Contest:
		if e.InWindow {
			return "contest"
		}
		return "contest outside window"
	case Commit:
		return fmt.Sprintf("COMMIT round %d", e.Round)
	case Report:
		if e.Err != nil {
			return fmt.Sprintf("report %v (%s)", e.State, reason(e.Err))
		}
		return fmt.Sprintf("report %v", e.State)
	default:
		return strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", e), "lifecycle."))
	}
}

func reason(err error) string {
	if r := refusal.ReasonOf(err); r != notaryv1.Reason_REASON_UNSPECIFIED {
		return refusal.Name(r)
	}
	return "a vote for a rival"
}
