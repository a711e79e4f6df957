package conflict

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

var update = flag.Bool("update", false, "rewrite the transcripts under testdata")

// A transcript is what one node is told, and what it answers:
//
//	nodes 4                          equal voters n0 to n3; this node is n0
//	join A 1 2 [closed]              A spends outpoints 1 and 2 [its window is closed]
//	hear n1 PENDING A 0, n2 ...      votes of one observation or of several
//	fire 3                           timer 3 runs out
//	enter [A 1 ...]                  the next epoch begins, with locks adopted on A at its certificate of round 1
//	restart                          all but the guard's records is lost, and the transactions join again
//
// A vote with the word next or last behind it is of the epoch after or before the present one.
//
// A line of four spaces or more is an answer. Everything else, and comments (#), is left as it is.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			s := &script{t: t, out: &got}
			for lines := bufio.NewScanner(bytes.NewReader(want)); lines.Scan(); {
				line := lines.Text()
				if strings.HasPrefix(line, "    ") {
					continue
				}
				fmt.Fprintln(&got, line)
				s.run(line)
			}
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got.String() != string(want) {
				t.Errorf("want\n%s\ngot\n%s", want, got.String())
			}
		})
	}
}

type script struct {
	t     *testing.T
	out   *bytes.Buffer
	nodes int
	// groups are those of all epochs so far, and the next.
	groups []*group.Group
	c      *Contests
	guard  *Guard
	joins  []Join
	heard  []Vote
}

func (s *script) run(line string) {
	words := strings.Fields(line)
	if len(words) == 0 || strings.HasPrefix(line, "#") {
		return
	}
	switch words[0] {
	case "nodes":
		s.nodes = s.number(words[1])
		s.guard = NewGuard()
		g := equalGroup(s.t, s.nodes)
		s.groups = []*group.Group{g, nextOf(s.t, g, slices.Repeat([]int{1}, s.nodes)...)}
		s.c = newTestContests(s.t, 0, g, nil)
	case "join":
		in := Join{Tx: tx(int(words[1][0] - 'A')), InWindow: true}
		for _, w := range words[2:] {
			if w == "closed" {
				in.InWindow = false
			} else {
				in.Spends = append(in.Spends, outpoint(s.number(w)))
			}
		}
		s.joins = append(s.joins, in)
		s.join(in)
	case "hear":
		var votes []Vote
		for _, part := range strings.Split(strings.TrimPrefix(line, "hear "), ",") {
			votes = append(votes, s.vote(strings.Fields(part)))
		}
		s.heard = append(s.heard, votes...)
		s.step(Heard{votes})
	case "fire":
		s.step(Fired{TimerID(s.number(words[1]))})
	case "enter":
		s.enter(words[1:])
	case "restart":
		s.c = newTestContests(s.t, 0, s.c.group, nil)
		for _, in := range s.joins {
			s.join(in)
		}
	default:
		s.t.Fatalf("cannot read %q", line)
	}
}

func (s *script) number(w string) int {
	n, err := strconv.Atoi(w)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *script) vote(words []string) Vote {
	state := map[string]observation.State{"PENDING": observation.Pending, "ACCEPTED": observation.Accepted, "ABSTAIN": observation.Abstain}
	return Vote{
		Voter: s.number(words[0][1:]), State: state[words[1]], Tx: tx(int(words[2][0] - 'A')),
		Round: uint32(s.number(words[3])), Group: s.groupOf(words[4:]),
	}
}

func (s *script) groupOf(words []string) *group.Group {
	epoch := s.c.group.Epoch()
	switch {
	case len(words) > 0 && words[0] == "next":
		epoch++
	case len(words) > 0 && words[0] == "last":
		epoch--
	}
	return s.groups[epoch]
}

func (s *script) enter(words []string) {
	next := s.groups[s.c.group.Epoch()+1]
	s.groups = append(s.groups, nextOf(s.t, next, slices.Repeat([]int{1}, s.nodes)...))
	var locks []Record
	for ; len(words) > 1; words = words[2:] {
		id, round := tx(int(words[0][0]-'A')), uint32(s.number(words[1]))
		for _, o := range s.spends(id) {
			locks = append(locks, Record{
				Outpoint: o, Round: round, State: observation.Inherited, Tx: id, Epoch: next.Epoch(), Certificate: CertAt(next.Epoch()-1, round),
			})
		}
	}
	s.guard.Restore(locks)
	s.step(NewGroup{Group: next, Locks: locks})
}

func (s *script) join(in Join) {
	for _, v := range s.heard {
		if v.Tx == in.Tx {
			in.Votes = append(in.Votes, v)
		}
	}
	for _, o := range in.Spends {
		in.Own = append(in.Own, s.guard.Records(o)...)
	}
	s.step(in)
}

// step prints the answers; own votes come back once they are on disk, that is at once.
func (s *script) step(in Input) {
	var own []Vote
	for _, e := range s.c.Step(in) {
		fmt.Fprintf(s.out, "    %s\n", describe(e))
		switch e := e.(type) {
		case CastVote:
			s.guard.Record(e.Vote)
			own = append(own, Vote{Tx: e.Vote.Tx, State: e.Vote.State, Round: e.Vote.Round, Group: s.c.group})
		case Decided:
			for _, id := range e.Rejected {
				s.guard.Reject(id, s.spends(id))
			}
		}
	}
	if len(own) > 0 {
		s.heard = append(s.heard, own...)
		s.step(Heard{own})
	}
}

func (s *script) spends(id domain.Hash) (out []utxo.Outpoint) {
	for _, in := range s.joins {
		if in.Tx == id {
			return in.Spends
		}
	}
	return nil
}
