package store

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"
)

// probe looks up many keys in one view of the store. Unlike a Get it asks the bloom filters of the
// last level too, so that a key that is not there costs no block of data.
type probe struct {
	s  *Store
	it *pebble.Iterator
}

func (s *Store) newProbe() (*probe, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return nil, s.fail(err)
	}
	return &probe{s, it}, nil
}

// get returns a value that is valid until the next call.
func (p *probe) get(key []byte) (value []byte, ok bool, err error) {
	if !p.it.SeekPrefixGE(key) || !bytes.Equal(p.it.Key(), key) {
		if err := p.it.Error(); err != nil {
			return nil, false, p.s.fail(err)
		}
		return nil, false, nil
	}
	value, err = p.it.ValueAndErr()
	if err != nil {
		return nil, false, p.s.fail(err)
	}
	return value, true, nil
}

func (p *probe) has(key []byte) (bool, error) {
	_, ok, err := p.get(key)
	return ok, err
}

// close ends the view; err is what the caller is about to return.
func (p *probe) close(err error) error {
	if e := p.it.Close(); e != nil && err == nil {
		return p.s.fail(e)
	}
	return err
}
