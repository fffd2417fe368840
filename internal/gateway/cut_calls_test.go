package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// cutEndpoint is an endpoint that reports the end of each of its calls.
type cutEndpoint struct {
	*testEndpoint
	target, body string // body lacks the final brace
	ended        chan struct{}
}

// openCutEndpoint opens an endpoint of one of the two APIs. Its requests allow maxTokens.
func openCutEndpoint(t *testing.T, upstream *modelstub.Server, api gateway.API, maxTokens int64, budget gateway.Budget) *cutEndpoint {
	t.Helper()
	c := &cutEndpoint{
		target: target, ended: make(chan struct{}, 1000),
		body: fmt.Sprintf(`{"model":%q,"max_tokens":%d,"messages":[{"role":"user","content":"hello"}]`, model, maxTokens),
	}
	p := policy
	if api == gateway.ResponsesAPI {
		c.target = responses
		c.body = fmt.Sprintf(`{"model":%q,"max_output_tokens":%d,"input":"hello"`, model, maxTokens)
		p.Routes = []gateway.Route{{Method: http.MethodPost, Target: responses}}
	}
	p.Budget = budget
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(io.Discard), zap.InfoLevel)
	log := zap.New(core, zap.Hooks(func(zapcore.Entry) error { c.ended <- struct{}{}; return nil })) // the line follows the end
	c.testEndpoint = openEndpointWithPolicy(t, upstream, p, func(s *gateway.Config) { s.API, s.Log = api, log })
	return c
}

// call sends a request. If events is at least 0 it disconnects after that many events with content, and if it is -1 as
// soon as the provider has the request. Otherwise it reads the complete response. It returns the status, or 0 without
// one, when the gateway has counted the call.
func (c *cutEndpoint) call(stream bool, events int) (status int) {
	c.t.Helper()
	conn, err := net.Dial("unix", c.socket)
	require.NoError(c.t, err)
	defer func() {
		_ = conn.Close()
		if events != toTheEnd {
			awaitDisconnect(c.t, c.upstream) // the provider has billed the call
		}
		<-c.ended
	}()
	body := fmt.Sprintf("%s,\"stream\":%t}", c.body, stream)
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", c.target, len(body), body)
	require.NoError(c.t, err)
	if events == -1 {
		<-c.upstream.Received()
		return 0
	}
	got, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(c.t, err)
	lines := bufio.NewScanner(got.Body)
	for seen := 0; lines.Scan(); {
		if strings.Contains(lines.Text(), `delta"`) && strings.Contains(lines.Text(), "word") {
			seen++
		}
		if strings.HasPrefix(lines.Text(), "data:") && seen == events {
			break
		}
	}
	if got.StatusCode == http.StatusOK || got.StatusCode >= http.StatusInternalServerError {
		<-c.upstream.Received()
	}
	return got.StatusCode
}

const toTheEnd = -2

// The provider completes a response without a stream after the sandbox has left, and bills it.
func TestCutCallWithoutStreamBooksReservation(t *testing.T) {
	const calls, maxTokens = 5, 64_000
	for _, api := range []gateway.API{gateway.MessagesAPI, gateway.ResponsesAPI} {
		t.Run(string(api), func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(modelstub.Generate(modelstub.Generation{Events: 1, PerEvent: maxTokens, End: modelstub.Hangs})))
			w := openCutEndpoint(t, upstream, api, maxTokens, gateway.Budget{})
			for range calls {
				w.call(false, -1)
			}
			s := closeAndSummarize(t, w.testEndpoint)
			input, output := upstream.Billed()
			require.EqualValues(t, calls*maxTokens, output)
			require.Equal(t, gateway.Tokens{Input: input, Output: output}, s.Tokens)
			require.EqualValues(t, calls, s.EstimatedCalls)
		})
	}
}

// Codex sets no limit of its own.
func TestCutCallWithoutLimitBooksModelsLimit(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Hang()))
	w := openCutEndpoint(t, upstream, gateway.ResponsesAPI, 0, gateway.Budget{})
	w.call(false, -1)
	require.EqualValues(t, 128_000, closeAndSummarize(t, w.testEndpoint).Tokens.Output)
}

// The end of the job and the time-out of a call count like a disconnect.
func TestCallEndedByGatewayBooksReservation(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Hang()))
	w := openCutEndpoint(t, upstream, gateway.MessagesAPI, 64_000, gateway.Budget{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.call(false, -1)
	}()
	<-ended // the sandbox has left; the other call is ended by Close
	conn, err := net.Dial("unix", w.socket)
	require.NoError(t, err)
	defer conn.Close()
	body := w.body + "}"
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", target, len(body), body)
	require.NoError(t, err)
	<-upstream.Received()
	s := closeAndSummarize(t, w.testEndpoint)
	require.EqualValues(t, 2*64_000, s.Tokens.Output)
	require.EqualValues(t, 2, s.EstimatedCalls)
}

// A stream that the sandbox ends costs what it has received: the framing of the events does not count.
func TestCutStreamBooksItsContent(t *testing.T) {
	for _, api := range []gateway.API{gateway.MessagesAPI, gateway.ResponsesAPI} {
		t.Run(string(api), func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(modelstub.Generate(
				modelstub.Generation{Events: 1000, PerEvent: 4, End: modelstub.Silent, After: 375})))
			w := openCutEndpoint(t, upstream, api, 64_000, gateway.Budget{})
			w.call(true, 375)
			s := closeAndSummarize(t, w.testEndpoint)
			input, output := upstream.Billed()
			require.EqualValues(t, 1500, output)
			require.Equal(t, output, s.Tokens.Output)
			require.Equal(t, input, s.Tokens.Input)
			require.EqualValues(t, 1, s.EstimatedCalls)
		})
	}
}

// A provider sends a stream faster than the job reads it, and bills it. What waits in the kernel's buffers when the job
// leaves is counted. The rest of these streams is read to the end, so nothing is in flight after it.
func TestUnreadStreamsBookWhatProviderBills(t *testing.T) {
	const calls, events, perEvent, budget = 5, 2000, 30, 2000 * 30 * 3 / 2
	for name, leave := range map[string]func(*net.UnixConn) error{
		"disconnects":              (*net.UnixConn).Close,
		"closes its sending half":  (*net.UnixConn).CloseWrite,
		"stops to read and is cut": nil, // by Close
	} {
		t.Run(name, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(modelstub.Generate(modelstub.Generation{Events: events, PerEvent: perEvent})))
			w := openCutEndpoint(t, upstream, gateway.MessagesAPI, events*perEvent, gateway.Budget{Tokens: budget})
			w.SetDrain(patience, patience)
			for i := range calls {
				conn, err := net.Dial("unix", w.socket)
				require.NoError(t, err)
				defer conn.Close()
				body := w.body + `,"stream":true}`
				_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", target, len(body), body)
				require.NoError(t, err)
				got, err := http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err)
				require.Equal(t, i >= 2, got.StatusCode == http.StatusForbidden, "two calls use up the budget")
				switch {
				case got.StatusCode == http.StatusForbidden:
				case leave != nil:
					require.NoError(t, leave(conn.(*net.UnixConn)))
				default:
					require.NoError(t, w.Close())
				}
				<-w.ended
				if leave == nil {
					break
				}
			}
			s := closeAndSummarize(t, w.testEndpoint)
			input, output := upstream.Billed()
			require.Positive(t, output)
			require.Equal(t, gateway.Tokens{Input: input, Output: output}, s.Tokens)
			require.Less(t, s.Tokens.Total()-budget, int64(events*perEvent), "less than one call")
			require.Zero(t, s.EstimatedCalls, "the provider has reported the usage")
		})
	}
}

// What a provider sent before it broke the call counts.
func TestCallBrokenByProviderBooksWhatArrived(t *testing.T) {
	for name, c := range map[string]struct {
		stream bool
		output int64
	}{"stream": {true, 40}, "whole": {false, 0}} {
		t.Run(name, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(modelstub.Generate(
				modelstub.Generation{Events: 100, PerEvent: 4, End: modelstub.Breaks, After: 10})))
			w := openCutEndpoint(t, upstream, gateway.MessagesAPI, 64_000, gateway.Budget{})
			w.call(c.stream, toTheEnd)
			s := closeAndSummarize(t, w.testEndpoint)
			require.Equal(t, c.output, s.Tokens.Output)
			require.EqualValues(t, 1, s.EstimatedCalls)
		})
	}
}

// Whatever calls an agent makes and wherever they end, at least as many tokens are booked as the provider bills, and no
// stream is overcharged. So the budget is exceeded by less than one call.
func TestBookedTokensCoverBilledTokens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		api := rapid.SampledFrom([]gateway.API{gateway.MessagesAPI, gateway.ResponsesAPI}).Draw(rt, "api")
		maxTokens := rapid.Int64Range(1, 200).Draw(rt, "max_tokens")
		budget := rapid.Int64Range(1, 600).Draw(rt, "budget")
		var next modelstub.Generation
		upstream := modelstub.Start(func(modelstub.Request) modelstub.Response { return modelstub.Generate(next) })
		defer upstream.Close()
		w := openCutEndpoint(t, upstream, api, maxTokens, gateway.Budget{Tokens: budget})
		w.SetDrain(time.Millisecond, patience) // the job has read all that the provider sends
		var largest int64                      // tokens that the provider billed for one call
		for range rapid.IntRange(1, 8).Draw(rt, "calls") {
			billed := func() int64 { input, output := upstream.Billed(); return input + output }
			billedBefore, before := billed(), w.Summary()
			stream := rapid.Bool().Draw(rt, "stream")
			next = modelstub.Generation{PerEvent: rapid.IntRange(1, 20).Draw(rt, "tokens of an event")}
			next.Events = rapid.IntRange(0, int(maxTokens)/next.PerEvent).Draw(rt, "events")
			next.End = modelstub.End(rapid.IntRange(int(modelstub.Completes), int(modelstub.Stops)).Draw(rt, "end"))
			next.After = rapid.IntRange(0, next.Events).Draw(rt, "after")
			events := toTheEnd
			switch {
			case next.End == modelstub.Hangs, next.End == modelstub.Silent && !stream:
				events = -1
			case next.End == modelstub.Silent:
				events = next.After
			}
			if w.Summary().Tokens.Total() >= budget {
				require.Equal(rt, http.StatusForbidden, w.call(stream, toTheEnd))
				require.Equal(rt, billedBefore, billed(), "a denied call costs nothing")
				continue
			}
			status := w.call(stream, events)
			require.NotEqual(rt, http.StatusForbidden, status)
			s := w.Summary()
			cost, booked := billed()-billedBefore, s.Tokens.Total()-before.Tokens.Total()
			largest = max(largest, cost)
			require.GreaterOrEqual(rt, booked, cost)
			complete := next.End == modelstub.Completes || next.End == modelstub.Stops && !stream
			if stream || complete {
				// A stream's first event reports one output token. Each estimate rounds up, by less than a token.
				require.LessOrEqual(rt, booked, cost+1)
			}
			require.Equal(rt, !complete, s.EstimatedCalls > before.EstimatedCalls)
		}
		require.NoError(rt, w.Close())
		input, output := upstream.Billed()
		require.LessOrEqual(rt, input+output, w.Summary().Tokens.Total())
		require.Less(rt, input+output, budget+max(1, largest))
	})
}

// Numbers of any size are reserved without an overflow.
func TestHugeMaxTokensDoNotOverflowBudget(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Hang()))
	w := openCutEndpoint(t, upstream, gateway.MessagesAPI, math.MaxInt64, gateway.Budget{Tokens: 1000, CostUSD: 1})
	first := make(chan struct{})
	go func() {
		defer close(first)
		conn, err := net.Dial("unix", w.socket)
		if err != nil {
			return
		}
		defer conn.Close()
		body := w.body + "}"
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", target, len(body), body)
		_, _ = io.ReadAll(conn)
	}()
	<-upstream.Received()
	for range 3 {
		require.Equal(t, http.StatusTooManyRequests, w.post(w.body+"}").status, "the first call may use up the budget")
	}
	s := closeAndSummarize(t, w.testEndpoint)
	<-first
	require.EqualValues(t, 1, s.Calls)
	require.EqualValues(t, 1<<20, s.Tokens.Output)
	require.Positive(t, s.CostUSD)
}
