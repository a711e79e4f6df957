package utxo

// addresses are a set: few in a list, as nearly always, and many in a map. The zero value is empty.
type addresses struct {
	few  [4]Address
	n    int // of few
	many map[Address]struct{}
}

func (s *addresses) add(a Address) {
	switch {
	case s.has(a):
	case s.n < len(s.few):
		s.few[s.n] = a
		s.n++
	default:
		if s.many == nil {
			s.many = make(map[Address]struct{})
		}
		s.many[a] = struct{}{}
	}
}

func (s *addresses) has(a Address) bool {
	for i := range s.few[:s.n] {
		if s.few[i] == a {
			return true
		}
	}
	_, found := s.many[a]
	return found
}
