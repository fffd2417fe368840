package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// unreadStream is a stream that the job does not read. All connections are pipes without buffers, so the provider waits
// until the gateway reads.
type unreadStream struct {
	endpoint *Endpoint
	job      net.Conn
	sent     int64         // tokens that the provider has sent
	ended    chan struct{} // closed when the provider's handler returns
}

// An event has perEvent tokens.
const perEvent = 1000

// withUnreadStream calls test when the gateway has forwarded the beginning of a stream and blocks. The provider sends
// the stream's first event, and then next until the call ends.
func withUnreadStream(t *testing.T, change func(*Config), next func(send func(tokens int) bool) bool, test func(*testing.T, *unreadStream)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := unreadStream{ended: make(chan struct{})}
		s.endpoint, _ = newFloodEndpoint(t, change)
		s.endpoint.policy.Models = []string{"m"}
		jobs, calls := newPipeListener(), newPipeListener()
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return calls.dial(), nil }}
		s.endpoint.gateway.transport = transport
		provider := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(s.ended)
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, `data: {"type":"message_start","message":{"usage":{"input_tokens":1}}}`+"\n\n")
			send := func(tokens int) bool {
				_, err := fmt.Fprintf(w, `data: {"type":"content_block_delta","delta":{"text":%q}}`+"\n\n", strings.Repeat("word", tokens))
				s.sent += int64(tokens)
				return err == nil && http.NewResponseController(w).Flush() == nil && r.Context().Err() == nil
			}
			for next(send) {
			}
			<-r.Context().Done()
		})}
		var serving sync.WaitGroup
		serving.Go(func() { _ = provider.Serve(calls) })
		serving.Go(func() { _ = s.endpoint.Serve(jobs) })

		s.job = jobs.dial()
		body := `{"model":"m","max_tokens":64000,"stream":true,"messages":[]}`
		_, err := fmt.Fprintf(s.job, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", floodTarget, len(body), body)
		require.NoError(t, err)
		synctest.Wait()
		test(t, &s)
		<-s.ended
		require.NoError(t, s.endpoint.Close())
		require.NoError(t, s.job.Close())
		require.NoError(t, provider.Close())
		transport.CloseIdleConnections()
		serving.Wait()
	})
}

// Reading on ends when the provider is silent, after two seconds, or after 16 MiB. All that arrives until then counts.
func TestRestOfStreamIsCountedWithinLimits(t *testing.T) {
	for name, c := range map[string]struct {
		next  func(send func(int) bool) bool
		most  time.Duration
		least int64 // tokens
	}{
		"endless":   {func(send func(int) bool) bool { return send(perEvent) }, 0, drainSize / 4 * 9 / 10},
		"trickling": {func(send func(int) bool) bool { time.Sleep(drainSilence / 2); return send(perEvent) }, drainTime, 18 * perEvent},
		"silent":    {func(send func(int) bool) bool { send(perEvent); return false }, drainSilence, perEvent},
		"pings": {func(send func(int) bool) bool { ok := send(0); time.Sleep(15 * time.Second); return ok },
			drainSilence, 0},
	} {
		for end, cut := range map[string]func(*unreadStream) error{
			"disconnect": func(s *unreadStream) error { return s.job.Close() },
			"Close":      func(s *unreadStream) error { return s.endpoint.Close() },
		} {
			t.Run(name+", "+end, func(t *testing.T) {
				withUnreadStream(t, nil, c.next, func(t *testing.T, s *unreadStream) {
					began := time.Now()
					require.NoError(t, cut(s))
					require.NoError(t, s.endpoint.Close(), "it waits for the call")
					require.LessOrEqual(t, time.Since(began), c.most)
					booked := s.endpoint.Summary()
					<-s.ended
					require.GreaterOrEqual(t, booked.Tokens.Output, c.least)
					require.LessOrEqual(t, booked.Tokens.Output, s.sent)
					// An event is being sent, and Go's buffers of the connection hold two of 4 KiB.
					require.GreaterOrEqual(t, booked.Tokens.Output, s.sent-3*perEvent)
					require.EqualValues(t, 1, booked.EstimatedCalls)
				})
			})
		}
	}
}

// A time-out ends a write that blocks, and then the rest of the stream is counted.
func TestRestOfStreamIsCountedAfterTimeout(t *testing.T) {
	endless := func(send func(int) bool) bool { return send(perEvent) }
	for name, change := range map[string]func(*Config){
		"of the call":  func(c *Config) { c.CallTimeout = time.Second },
		"of the write": func(c *Config) { c.IdleTimeout = time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			withUnreadStream(t, change, endless, func(t *testing.T, s *unreadStream) {
				began := time.Now()
				<-s.ended
				require.Equal(t, time.Second, time.Since(began))
				require.NoError(t, s.endpoint.Close())
				require.GreaterOrEqual(t, s.endpoint.Summary().Tokens.Output, int64(drainSize/4*9/10))
			})
		})
	}
}
