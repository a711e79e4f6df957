package sync

import "fmt"

// Answer makes the reply to a request of another node: to as many of its ranges as fit, at least one. An
// error is that of a bad request, or of the set. The work is two fingerprints for each range that a message
// can have, besides the ids listed.
func Answer(set Set, asked []Range, limits Limits) (Reply, error) {
	limits.must()
	if err := checkAsked(asked, limits); err != nil {
		return Reply{}, err
	}
	var reply Reply
	ids := 0
	for i := range asked {
		more, err := answerOne(set, &asked[i], limits.Leaf)
		if err != nil {
			return Reply{}, fmt.Errorf("range %d of a request: %w", i, err)
		}
		for j := range more {
			ids += len(more[j].IDs)
		}
		if len(reply.Ranges)+len(more) > limits.Ranges || ids > limits.IDs {
			break
		}
		reply.Ranges = append(reply.Ranges, more...)
		reply.Answered++
	}
	return reply, nil
}

// answerOne is the answer to one range: nothing, a list or the parts.
func answerOne(set Set, asked *Range, leaf int) ([]Range, error) {
	f, err := set.Fingerprint(asked.Bounds)
	if err != nil {
		return nil, err
	}
	if f.Digest() == asked.Digest {
		return nil, nil
	}
	if f.Count <= uint64(leaf) {
		// The set may have grown since.
		ids, err := set.IDs(asked.Bounds, leaf+1)
		if err != nil {
			return nil, err
		}
		if len(ids) <= leaf {
			return []Range{{Bounds: asked.Bounds, Listed: true, IDs: ids}}, nil
		}
	}
	bounds := asked.Split()
	parts := make([]Range, len(bounds))
	for i, b := range bounds {
		f, err := set.Fingerprint(b)
		if err != nil {
			return nil, err
		}
		// To list nothing costs less than its digest, and no further round.
		if parts[i] = (Range{Bounds: b, Listed: true}); f.Count > 0 {
			parts[i] = Range{Bounds: b, Digest: f.Digest(), Count: f.Count}
		}
	}
	return parts, nil
}
