package node

import (
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// Inputs that nearly every transaction has, made once: putting one into an interface allocates.
var (
	verified     lifecycle.Input = lifecycle.Verified{}
	unrivalled   lifecycle.Input = lifecycle.Claimed{}
	supportCast  lifecycle.Input = lifecycle.Voted{State: observation.Pending}
	committed    lifecycle.Input = lifecycle.Committed{}
	acceptedCast lifecycle.Input = lifecycle.Voted{State: observation.Accepted}
)

func claimed(rivals []domain.Hash) lifecycle.Input {
	if len(rivals) == 0 {
		return unrivalled
	}
	return lifecycle.Claimed{Rivals: rivals}
}

func voted(s observation.State, round uint32) lifecycle.Input {
	switch {
	case round == 0 && s == observation.Pending:
		return supportCast
	case round == 0 && s == observation.Accepted:
		return acceptedCast
	}
	return lifecycle.Voted{State: s, Round: round}
}
