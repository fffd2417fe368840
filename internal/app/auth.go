package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/api"
	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/api/auth/oidc"
	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/store"
)

// The ways in which callers are known.
const (
	AuthDev  = "dev"
	AuthKeys = "keys"
	AuthOIDC = "oidc"
)

// Callers says how the API knows who calls.
type Auth struct {
	// AuthMode is how callers are known: by keys, by the tokens of a provider (oidc), or (dev) not at all: the header
	// X-User-Id is believed, and the API refuses to listen beyond loopback. Default: dev on loopback, else keys.
	AuthMode string `env:"AIRLOCK_AUTH_MODE"`
	PepperSource
	OIDCProvider
}

// Peppered is where the pepper of the API keys comes from.
type PepperSource struct {
	// Pepper is mixed into what is stored of a key, so that it is of no use without. At least 32 bytes, the same in all
	// processes of the API; with another all keys are void.
	Pepper string `env:"AIRLOCK_API_KEY_PEPPER"`
	// PepperFile holds it instead; a line's end at its end does not count.
	PepperFile string `env:"AIRLOCK_API_KEY_PEPPER_FILE"`
}

var errDevAuthNotLoopback = errors.New("AIRLOCK_AUTH_MODE=dev believes every caller and is for loopback only: " +
	"set AIRLOCK_AUTH_MODE=keys, or listen on 127.0.0.1 behind a proxy that authenticates")

// authMode is AIRLOCK_AUTH_MODE, or what follows from the address.
func (c *API) effectiveAuthMode() string {
	host, _, _ := net.SplitHostPort(c.ListenAddr)
	switch {
	case c.AuthMode != "":
		return c.AuthMode
	case isLoopback(host):
		return AuthDev
	default:
		return AuthKeys
	}
}

func (c *API) validateAuth() error {
	switch host, _, _ := net.SplitHostPort(c.ListenAddr); c.effectiveAuthMode() {
	case AuthDev:
		if !isLoopback(host) {
			return fmt.Errorf("AIRLOCK_LISTEN_ADDR is %q, but %w", c.ListenAddr, errDevAuthNotLoopback)
		}
		return nil
	case AuthKeys:
		_, err := c.loadPepper()
		return err
	case AuthOIDC:
		return c.OIDCProvider.validate()
	default:
		return fmt.Errorf("AIRLOCK_AUTH_MODE must be dev, keys or oidc, not %q", c.AuthMode)
	}
}

// guard refuses an address that turned out to be reachable from elsewhere,
// such as that of a localhost which is not this machine.
func (c *API) checkBoundAddr(addr net.Addr) error {
	if tcp, ok := addr.(*net.TCPAddr); c.effectiveAuthMode() == AuthDev && (!ok || !tcp.IP.IsLoopback()) {
		return fmt.Errorf("AIRLOCK_LISTEN_ADDR leads to %s, but %w", addr, errDevAuthNotLoopback)
	}
	return nil
}

// authenticator returns who tells the callers apart, until ctx ends, and the
// pepper of the keys that may be issued.
func (c *API) newAuthenticator(ctx context.Context, s *store.Store, log *zap.Logger) (api.Authenticator, apikey.Pepper, error) {
	switch c.effectiveAuthMode() {
	case AuthKeys:
		pepper, err := c.loadPepper()
		return auth.NewKeyVerifier(s, pepper, nil), pepper, err
	case AuthOIDC:
		verifier, err := oidc.New(ctx, c.verifierConfig(), nil, log)
		return verifier, apikey.Pepper{}, err
	default:
		return api.DevAuthenticator{}, apikey.Pepper{}, nil
	}
}

// pepper reads the pepper, and says which variable is wrong where it cannot.
func (p *PepperSource) loadPepper() (apikey.Pepper, error) {
	name, secret := "AIRLOCK_API_KEY_PEPPER", []byte(p.Pepper)
	if p.PepperFile != "" {
		if p.Pepper != "" {
			return apikey.Pepper{}, errors.New("AIRLOCK_API_KEY_PEPPER and AIRLOCK_API_KEY_PEPPER_FILE are both set; which one counts?")
		}
		name = "AIRLOCK_API_KEY_PEPPER_FILE"
		data, err := os.ReadFile(p.PepperFile)
		if err != nil {
			return apikey.Pepper{}, fmt.Errorf("%s: %w", name, err)
		}
		secret = bytes.TrimRight(data, "\r\n")
	}
	pepper, err := apikey.NewPepper(secret)
	if err != nil {
		return pepper, fmt.Errorf("%s (needed with AIRLOCK_AUTH_MODE=keys): %w", name, err)
	}
	return pepper, nil
}
