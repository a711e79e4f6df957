package runtimefile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/notarynet/notaryd/proto/domain"
)

// ErrInvalidKey says that a key file does not hold 64 hexadecimal digits.
var ErrInvalidKey = errors.New("invalid key file")

// SaveKey writes a private key as the 64 hexadecimal digits of its 32-byte seed (RFC 8032) and a line
// feed, atomically, with mode 0600. It is meant for keys that own play money: it does not encrypt.
func SaveKey(path string, key domain.PrivateKey) error {
	seed := key.Seed()
	return write(path, []byte(hex.EncodeToString(seed[:])+"\n"))
}

// LoadKey reads what SaveKey wrote.
func LoadKey(path string) (domain.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return domain.PrivateKey{}, fmt.Errorf("read the key file: %w", err)
	}
	// The content is a secret: errors name the path and nothing else.
	seed, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(seed) != 32 {
		return domain.PrivateKey{}, fmt.Errorf("%w: %s: want 64 hexadecimal digits", ErrInvalidKey, path)
	}
	return domain.NewPrivateKey([32]byte(seed)), nil
}
