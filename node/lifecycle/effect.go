package lifecycle

import (
	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// Effect is what the shell must do, in the order returned.
type Effect interface{ effect() }

type (
	// Look asks for the entries of all inputs; answered by Looked.
	Look struct{}
	// Judge asks whether the group of a link is the right one; answered by Judged.
	Judge struct{}
	// Verify asks for a verdict on the signatures; answered by Verified.
	Verify struct{}
	// Relay passes the transaction on to others: it is valid and has no rival.
	Relay struct{}
	// Claim registers the spent outpoints; answered by Claimed.
	Claim struct{}
	// Support asks for PENDING(0) once the mempool delay is over, answered as Cast is. From then on ACCEPTED may be asked for as soon as a
	// certificate is counted, without asking the machine first; Counted then says so. That, Cast, Contest, Commit and End
	// take both back.
	Support struct{}
	// Cast asks for a vote; answered by Voted or Refused. Nothing of it may leave the node before it is
	// on disk (rule N5).
	Cast struct {
		State observation.State
		Round uint32
		// Certificate is what justifies the vote, where rules N2 and N3 ask for one.
		Certificate conflict.CertRound
	}
	// Hold asks for Woken when one of Parents is final or NowMS reaches UntilMS (0: no time), for Expired
	// when neither comes within the shell's patience, and for Crowded where there is no room for it. Parents
	// that nobody here knows are fetched.
	Hold struct {
		Parents []domain.Hash
		UntilMS uint64
		Err     error
		// Certified says that the network has taken the transaction up: there is more room for it.
		Certified bool
		// Anew says that the patience begins again, and that parents are fetched again.
		Anew bool
	}
	// Contest hands the decision over to the contest of the transaction and its rivals. InWindow says
	// that the validity window was open when the transaction was judged.
	Contest struct{ InWindow bool }
	// Commit takes what the transaction spends out of the live set and writes its outputs to it, all or nothing; answered by Committed.
	Commit struct {
		Round uint32
		Group *group.Group
	}
	// Report tells whoever watches that State or Err have changed.
	Report struct {
		State State
		Err   error
	}
	// End says that the machine is done: no further input changes anything.
	End struct{}
)

func (Look) effect()    {}
func (Judge) effect()   {}
func (Verify) effect()  {}
func (Relay) effect()   {}
func (Claim) effect()   {}
func (Support) effect() {}
func (Cast) effect()    {}
func (Hold) effect()    {}
func (Contest) effect() {}
func (Commit) effect()  {}
func (Report) effect()  {}
func (End) effect()     {}
