package wallet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/notarynet/notaryd/proto/domain"
)

// ErrPassphrase says that a passphrase is empty or does not open the wallet.
var ErrPassphrase = errors.New("wrong passphrase")

// fileVersion is the version of the wallet file that this package writes and reads.
const fileVersion = 1

// Wallet is one key pair, locked until its passphrase is given.
type Wallet struct {
	Name string
	// Account is the last step of the derivation path.
	Account uint32
	// PublicKey is what addresses are made from. It is kept in the clear; Unlock checks it.
	PublicKey domain.PublicKey
	// CreatedMS is when the wallet was made or restored here, Unix milliseconds.
	CreatedMS uint64
	// secret is an armored age file whose content is the words and a line feed.
	secret string
}

// Unlocked is what a passphrase gives.
type Unlocked struct {
	// Key signs for the wallet's address.
	Key domain.PrivateKey
	// Words restore the wallet anywhere, together with the account number.
	Words string
}

// file is the wallet file. `jq -r .secret NAME.json | age -d` shows the words without this program.
type file struct {
	Version   int    `json:"version"`
	Account   uint32 `json:"account"`
	PublicKey string `json:"public_key"`
	CreatedMS uint64 `json:"created_ms"`
	Secret    string `json:"secret"`
}

func (w *Wallet) file() file {
	return file{Version: fileVersion, Account: w.Account, PublicKey: w.PublicKey.String(), CreatedMS: w.CreatedMS, Secret: w.secret}
}

func parse(name string, b []byte) (*Wallet, error) {
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	if f.Version != fileVersion {
		return nil, fmt.Errorf("version %d, this program reads %d", f.Version, fileVersion)
	}
	key, err := domain.ParseHash(f.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("public_key: %w", err)
	}
	if f.Account > MaxAccount {
		return nil, fmt.Errorf("account %d is above %d", f.Account, MaxAccount)
	}
	return &Wallet{Name: name, Account: f.Account, PublicKey: domain.PublicKey(key), CreatedMS: f.CreatedMS, secret: f.Secret}, nil
}

// seal encrypts words under a passphrase.
func seal(name, words string, account uint32, passphrase string, nowMS uint64, logN int) (*Wallet, error) {
	words, err := ParseWords(words)
	if err != nil {
		return nil, err
	}
	if account > MaxAccount {
		return nil, fmt.Errorf("account %d is above %d", account, MaxAccount)
	}
	if passphrase == "" {
		return nil, fmt.Errorf("%w: it is empty", ErrPassphrase)
	}
	if logN > maxLogN {
		return nil, fmt.Errorf("encrypt the wallet: a work factor of %d is above %d", logN, maxLogN)
	}
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("encrypt the wallet: %w", err)
	}
	to.SetWorkFactor(logN)
	secret, err := encrypt(to, words)
	if err != nil {
		return nil, fmt.Errorf("encrypt the wallet: %w", err)
	}
	return &Wallet{
		Name:      name,
		Account:   account,
		PublicKey: DeriveKey(seed(words), account).Public(),
		CreatedMS: nowMS,
		secret:    secret,
	}, nil
}

func encrypt(to age.Recipient, words string) (string, error) {
	var out bytes.Buffer
	armored := armor.NewWriter(&out)
	plain, err := age.Encrypt(armored, to)
	if err != nil {
		return "", err
	}
	if _, err := io.WriteString(plain, words+"\n"); err != nil {
		return "", err
	}
	if err := plain.Close(); err != nil {
		return "", err
	}
	if err := armored.Close(); err != nil {
		return "", err
	}
	return out.String(), nil
}

// Unlock opens the wallet. The error is ErrPassphrase for a wrong passphrase, and ErrCorrupt where the
// secret is damaged, asks for too much work, or does not belong to the public key in the file.
func (w *Wallet) Unlock(passphrase string) (Unlocked, error) {
	if passphrase == "" {
		return Unlocked{}, fmt.Errorf("%w: it is empty", ErrPassphrase)
	}
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return Unlocked{}, fmt.Errorf("open the wallet: %w", err)
	}
	identity.SetMaxWorkFactor(maxLogN) // the library's own bound is 4 GiB
	plain, err := age.Decrypt(armor.NewReader(strings.NewReader(w.secret)), identity)
	var wrong *age.NoIdentityMatchError
	if errors.As(err, &wrong) {
		return Unlocked{}, fmt.Errorf("%w for wallet %s", ErrPassphrase, w.Name)
	}
	if err != nil {
		return Unlocked{}, fmt.Errorf("%w: wallet %s: %w", ErrCorrupt, w.Name, err)
	}
	b, err := io.ReadAll(io.LimitReader(plain, 1<<10))
	if err != nil {
		return Unlocked{}, fmt.Errorf("%w: wallet %s: %w", ErrCorrupt, w.Name, err)
	}
	words, err := ParseWords(string(b))
	if err != nil {
		return Unlocked{}, fmt.Errorf("%w: wallet %s: %w", ErrCorrupt, w.Name, err)
	}
	key := DeriveKey(seed(words), w.Account)
	if key.Public() != w.PublicKey {
		// Somebody changed the clear part, perhaps to receive what is meant for this wallet.
		return Unlocked{}, fmt.Errorf("%w: the public key of wallet %s is not that of its words", ErrCorrupt, w.Name)
	}
	return Unlocked{Key: key, Words: words}, nil
}
