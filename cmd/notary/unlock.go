package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/wallet"
)

// passphrase comes from --passphrase-file, else $NOTARY_PASSPHRASE, else from the person. With again
// set, the person types it twice.
func (a *app) passphrase(prompt string, again bool) (string, error) {
	if a.passphraseFile != "" {
		f, err := os.Open(a.passphraseFile)
		if err != nil {
			return "", noPassphrase("--passphrase-file: %v", err)
		}
		line := bufio.NewScanner(f)
		line.Scan()
		if err := errors.Join(line.Err(), f.Close()); err != nil {
			return "", noPassphrase("--passphrase-file: %v", err)
		}
		if line.Text() == "" {
			return "", noPassphrase("the first line of %s is empty", a.passphraseFile)
		}
		return strings.TrimSuffix(line.Text(), "\r"), nil
	}
	if p := a.env("NOTARY_PASSPHRASE"); p != "" {
		return p, nil
	}
	if a.typed != "" && !again {
		return a.typed, nil
	}
	if a.secret == nil {
		return "", noPassphrase("there is nobody to ask for the passphrase")
	}
	first, err := a.secret(prompt)
	if err != nil {
		return "", fmt.Errorf("ask for the passphrase: %w", err)
	}
	if !again {
		return first, nil
	}
	second, err := a.secret("Once more: ")
	if err != nil {
		return "", fmt.Errorf("ask for the passphrase: %w", err)
	}
	if first != second {
		return "", &failure{exitWallet, "PASSPHRASES_DIFFER", "try again", errors.New("the two passphrases are not the same")}
	}
	return first, nil
}

// spend is session for commands that sign. Whoever has to type a passphrase does so first: the time that it
// takes is none of the network's, and no connection waits for it.
func (a *app) spend(ctx context.Context, do func(context.Context, *client.Client) error) error {
	if a.passphraseFile == "" && a.env("NOTARY_PASSPHRASE") == "" && a.secret != nil {
		_, w, err := a.current()
		if err != nil {
			return err
		}
		if a.typed, err = a.passphrase(promptOf(w), false); err != nil {
			return err
		}
	}
	return a.session(ctx, do)
}

func promptOf(w *wallet.Wallet) string { return fmt.Sprintf("Passphrase of wallet %s: ", w.Name) }

func noPassphrase(format string, args ...any) error {
	return &failure{exitWallet, "NO_PASSPHRASE", "set $NOTARY_PASSPHRASE or --passphrase-file", fmt.Errorf(format, args...)}
}

// current is the wallet that --wallet names, or the default one.
func (a *app) current() (*wallet.Store, *wallet.Wallet, error) {
	store, err := a.store()
	if err != nil {
		return nil, nil, err
	}
	w, err := store.Get(a.walletName)
	return store, w, err
}

// unlock opens a wallet.
func (a *app) unlock(w *wallet.Wallet) (wallet.Unlocked, error) {
	pass, err := a.passphrase(promptOf(w), false)
	if err != nil {
		return wallet.Unlocked{}, err
	}
	return w.Unlock(pass)
}
