package lifecycle

// rounds are a set of rounds of votes: mostly round 0 alone.
type rounds struct {
	zero  bool
	later map[uint32]bool
}

func (r *rounds) any() bool { return r.zero || len(r.later) > 0 }

func (r *rounds) has(round uint32) bool {
	if round == 0 {
		return r.zero
	}
	return r.later[round]
}

func (r *rounds) add(round uint32) {
	if round == 0 {
		r.zero = true
		return
	}
	if r.later == nil {
		r.later = make(map[uint32]bool, 1)
	}
	r.later[round] = true
}
