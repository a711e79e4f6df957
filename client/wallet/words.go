package wallet

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/tyler-smith/go-bip39"
)

// WordCount is how many words a wallet has: 256 bits of entropy and 8 of checksum.
const WordCount = 24

// ErrWords says that words are not a wallet's: a wrong number, an unknown word, or a wrong checksum.
var ErrWords = errors.New("these are not the 24 words of a wallet")

// NewWords draws a new wallet's words (BIP-39, English) from the system's randomness.
func NewWords() (string, error) {
	entropy := make([]byte, 32)
	if _, err := rand.Read(entropy); err != nil {
		return "", fmt.Errorf("draw the words: %w", err)
	}
	words, err := bip39.NewMnemonic(entropy)
	if err != nil {
		return "", fmt.Errorf("draw the words: %w", err)
	}
	return words, nil
}

// ParseWords brings typed words into their one form (lower case, single spaces) and checks them. The
// error is ErrWords; it names the position of an unknown word and never the word itself.
func ParseWords(typed string) (string, error) {
	fields := strings.Fields(strings.ToLower(typed))
	if len(fields) != WordCount {
		return "", fmt.Errorf("%w: %d words", ErrWords, len(fields))
	}
	for i, word := range fields {
		if _, known := bip39.GetWordIndex(word); !known {
			return "", fmt.Errorf("%w: word %d is not in the list", ErrWords, i+1)
		}
	}
	words := strings.Join(fields, " ")
	if _, err := bip39.EntropyFromMnemonic(words); err != nil {
		return "", fmt.Errorf("%w: the checksum does not fit, a word is wrong or out of place", ErrWords)
	}
	return words, nil
}

// seed is the BIP-39 seed of checked words, without a BIP-39 passphrase: the keystore has its own.
func seed(words string) []byte { return bip39.NewSeed(words, "") }
