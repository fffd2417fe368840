package auth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/supervise"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeKeyStore stores keys in memory. It can fail and block, and counts its reads.
type fakeKeyStore struct {
	mu     sync.Mutex
	keys   map[string]apikey.Key
	now    time.Time
	reads  int
	marked []time.Time // recorded uses
	err    error
	block  chan struct{} // if not nil, reads wait until it is closed
	panics bool          // reads panic
}

func (s *fakeKeyStore) APIKeyByHash(_ context.Context, hash string) (apikey.Key, time.Time, error) {
	if s.block != nil {
		<-s.block
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.panics {
		panic("of a read")
	}
	k, ok := s.keys[hash]
	switch {
	case s.err != nil:
		return apikey.Key{}, time.Time{}, s.err
	case !ok:
		return apikey.Key{}, time.Time{}, apikey.ErrNotFound
	default:
		return k, s.now, nil
	}
}

func (s *fakeKeyStore) RecordAPIKeyUse(_ context.Context, k apikey.Key, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marked = append(s.marked, at)
	if s.err != nil {
		return s.err
	}
	k.LastUsedAt = &at
	s.keys[k.Hash] = k
	return nil
}

type fixture struct {
	*fakeKeyStore
	verifier *KeyVerifier
	key      apikey.Key
	secret   apikey.Secret
	clock    time.Time
}

func pepper(t *testing.T) apikey.Pepper {
	t.Helper()
	p, err := apikey.NewPepper([]byte(strings.Repeat("p", 32)))
	require.NoError(t, err)
	return p
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{clock: time.Unix(0, 0)}
	f.key, f.secret = apikey.New(pepper(t), "ada", "ci", []tenant.Scope{tenant.ScopeRun})
	f.fakeKeyStore = &fakeKeyStore{keys: map[string]apikey.Key{f.key.Hash: f.key}, now: time.Unix(1e9, 0)}
	f.verifier = NewKeyVerifier(f.fakeKeyStore, pepper(t), func() time.Time { return f.clock })
	return f
}

func (f *fixture) authenticate(authorization string) (tenant.Caller, error) {
	req, _ := http.NewRequest(http.MethodGet, "/", nil)
	req.Header.Set("Authorization", authorization)
	return f.verifier.Authenticate(req)
}

func (f *fixture) call() (tenant.Caller, error) { return f.authenticate("Bearer " + f.secret.Reveal()) }

func requireUnauthenticated(t *testing.T, err error, credentialsPresent bool) {
	t.Helper()
	var unauthenticated *UnauthenticatedError
	require.ErrorAs(t, err, &unauthenticated)
	require.Equal(t, credentialsPresent, unauthenticated.CredentialsPresent)
	require.NotEmpty(t, unauthenticated.Reason)
}

func TestAuthenticateReturnsCallerAndCaches(t *testing.T) {
	f := newFixture(t)
	for range 3 {
		found, err := f.call()
		require.NoError(t, err)
		require.Equal(t, tenant.Caller{Tenant: "ada", Subject: f.key.ID, Scopes: []tenant.Scope{tenant.ScopeRun}}, found)
	}
	require.Equal(t, 1, f.reads, "the lookup is cached")
}

// The use of a key is written at most once an hour.
func TestLastUsedIsWrittenOncePerHour(t *testing.T) {
	f := newFixture(t)
	first := f.now
	for range 2 * time.Hour / time.Minute {
		_, err := f.call()
		require.NoError(t, err)
		f.clock, f.now = f.clock.Add(time.Minute), f.now.Add(time.Minute)
	}
	require.Equal(t, []time.Time{first, first.Add(time.Hour)}, f.marked)
}

func TestMalformedKeyIsRejectedWithoutLookup(t *testing.T) {
	f := newFixture(t)
	for _, authorization := range []string{"", "Bearer", "Bearer ", "Basic YTpi", f.secret.Reveal()} {
		_, err := f.authenticate(authorization)
		requireUnauthenticated(t, err, false)
	}
	for _, authorization := range []string{"Bearer alk_", "Bearer x", "bearer " + f.secret.Reveal() + "x"} {
		_, err := f.authenticate(authorization)
		requireUnauthenticated(t, err, true)
	}
	require.Zero(t, f.reads)
}

func TestUnknownKeyIsCached(t *testing.T) {
	f := newFixture(t)
	delete(f.keys, f.key.Hash)
	for range 3 {
		_, err := f.call()
		requireUnauthenticated(t, err, true)
	}
	require.Equal(t, 1, f.reads)

	f.keys[f.key.Hash] = f.key // the key is issued now
	f.clock = f.clock.Add(cacheTTL)
	_, err := f.call()
	require.NoError(t, err)
}

func TestRevocationTakesEffectWithinTenSeconds(t *testing.T) {
	f := newFixture(t)
	_, err := f.call()
	require.NoError(t, err)
	delete(f.keys, f.key.Hash)
	require.LessOrEqual(t, cacheTTL, 10*time.Second)
	f.clock = f.clock.Add(cacheTTL)
	_, err = f.call()
	requireUnauthenticated(t, err, true)
}

// A response that is under way notices a revoked key sooner. All of one key share a lookup.
func TestReauthenticateNoticesRevocationSooner(t *testing.T) {
	f := newFixture(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+f.secret.Reveal())
	for range 3 {
		require.NoError(t, f.verifier.Reauthenticate(req))
	}
	require.Equal(t, 1, f.reads)
	delete(f.keys, f.key.Hash)
	f.clock = f.clock.Add(recheckTTL)
	_, err = f.call()
	require.NoError(t, err, "the lookup is still valid for new requests")
	requireUnauthenticated(t, f.verifier.Reauthenticate(req), true)
	_, err = f.call()
	requireUnauthenticated(t, err, true)
	require.Equal(t, 2, f.reads)
}

// A lookup runs in a goroutine of its own. Its panic is the error of those who wait for it.
func TestPanicOfLookupIsError(t *testing.T) {
	f := newFixture(t)
	f.panics = true
	_, err := f.call()
	require.ErrorAs(t, err, new(*supervise.PanicError))
	f.panics = false
	_, err = f.call()
	require.NoError(t, err)
}

// A key expires by the store's clock, also while its lookup is cached.
func TestExpiredKeyIsRejected(t *testing.T) {
	f := newFixture(t)
	expires := f.now.Add(2 * time.Second)
	f.key.ExpiresAt = &expires
	f.keys[f.key.Hash] = f.key
	_, err := f.call()
	require.NoError(t, err)
	f.clock, f.now = f.clock.Add(2*time.Second), f.now.Add(2*time.Second)
	_, err = f.call()
	requireUnauthenticated(t, err, true)
}

// While the store is unavailable no new key is accepted, and none is called invalid.
func TestStoreErrorIsNotUnauthenticated(t *testing.T) {
	f := newFixture(t)
	f.err = errors.New("unavailable")
	_, err := f.call()
	require.ErrorIs(t, err, f.err)
	f.err = nil
	_, err = f.call()
	require.NoError(t, err, "a failure is not cached")
}

func TestConcurrentLookupsShareOneRead(t *testing.T) {
	f := newFixture(t)
	f.block = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+f.secret.Reveal())
	firstErr := make(chan error)
	go func() {
		_, err := f.verifier.Authenticate(req)
		firstErr <- err
	}()
	cancel() // the first request ends; the others still get the result
	require.ErrorIs(t, <-firstErr, context.Canceled)

	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			_, err := f.call()
			require.NoError(t, err)
		})
	}
	close(f.block)
	callers.Wait()
	require.Equal(t, 1, f.reads)
}
