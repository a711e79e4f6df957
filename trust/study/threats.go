package study

// threat is one way to attack.
type threat struct {
	name, title string
	// mount adds attackers that obtain labels from honest peers, and returns the number of the first.
	mount func(w *world, labels int) int
}

// threats are the models. In all but the Sybil region, attackers that deal with honest peers are found
// out by some of them, and labelled badly.
func threats() []threat {
	return []threat{
		{"a-individual", "A: individual malicious peers", func(w *world, labels int) int {
			first := w.join(attackers)
			w.fool(labels, first, attackers)
			w.suffer(2, first, attackers)
			return first
		}},
		{"b-collective", "B: malicious collective", func(w *world, labels int) int {
			first := w.join(attackers)
			w.fool(labels, first, attackers)
			w.suffer(2, first, attackers)
			w.collude(8, first, attackers)
			return first
		}},
		{"c-camouflage", "C: collective with camouflage", func(w *world, labels int) int {
			first := w.join(attackers)
			w.fool(labels, first, attackers)
			w.suffer(1, first, attackers/2) // half behave well enough never to be found out
			w.collude(8, first, attackers)
			for i := range attackers {
				w.say(first+i, w.draw.below(honest), 500)
			}
			return first
		}},
		{"d-spies", "D: collective behind spies", func(w *world, labels int) int {
			first := w.join(attackers)
			spies, ring := attackers/4, attackers-attackers/4
			w.fool(labels, first, spies) // spies alone deal with honest peers, and well
			w.suffer(2, first+spies, ring)
			w.collude(8, first+spies, ring)
			for i := range spies {
				for range 8 {
					w.say(first+i, first+spies+w.draw.below(ring), 1000)
				}
			}
			return first
		}},
		{"sybil", "Sybil region behind few labels", func(w *world, labels int) int {
			const region = 400
			first := w.join(region)
			w.fool(labels, first, 4) // a few faces; nobody ever deals with the rest
			w.collude(8, first, region)
			return first
		}},
		{"bombing", "collective that labels the group's members badly", func(w *world, labels int) int {
			first := w.join(attackers)
			w.fool(labels, first, attackers/4)
			w.collude(8, first, attackers)
			for i := range attackers {
				for m := range members {
					w.say(first+i, m, -1000)
				}
			}
			return first
		}},
	}
}
