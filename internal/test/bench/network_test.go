package bench

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/gateway/forward"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/test/nameserver"
)

// BenchmarkNetwork compares a download by curl in a sandbox, through the gateway, with one by curl on this machine,
// from the same server over loopback with one connection, in turns. The server sends at the rate of a link, because
// both ends share the CPUs here. CPU time is that of all programs that take part: curl, init, gateway and server.
func BenchmarkNetwork(b *testing.B) {
	const turns, size, linkRate = 7, 256 << 20, 100 << 20
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		part := make([]byte, 256<<10)
		link := rate.NewLimiter(linkRate, len(part))
		w.Header().Set("Content-Length", strconv.Itoa(size))
		for range size / len(part) {
			if link.WaitN(r.Context(), len(part)) != nil {
				return
			}
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	}))
	b.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(b, err)
	rules := environment.Network{Mode: environment.Limited, Hosts: []string{"files.example.com:" + port}}.Rules()
	proxy := forward.New(forward.Config{
		Guard:    netguard.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Resolver: forward.NewResolver(nameserver.Start(b, map[string]string{"files.example.com": "127.0.0.1"})),
	})
	d := newDriver(b, 0)
	curl := []string{"curl", "--silent", "--output", "/dev/null", "--write-out", "%{speed_download} %{time_starttransfer}"}

	var inside, outside downloads
	for b.Loop() {
		for range turns {
			used := cpuTime(b)
			o, err := d.Run(b.Context(), sandbox.Job{
				Image: "airlock/sandbox-claude:dev", Argv: append([]string{"/usr/bin/env"}, append(curl, "http://files.example.com:"+port)...),
				Timeout: time.Minute, Network: &sandbox.Network{Ports: rules.Ports()}, Egress: forward.NewEgress(proxy.Open("bench", rules)),
			})
			require.NoError(b, err)
			require.Zero(b, o.ExitCode, "%s", o.Stderr)
			inside.add(b, o.Stdout, cpuTime(b)-used+o.CPUTime)
			require.NoError(b, o.Close())

			used = cpuTime(b)
			cmd := exec.CommandContext(b.Context(), curl[0], append(curl[1:], server.URL)...)
			out, err := cmd.Output()
			require.NoError(b, err)
			outside.add(b, out, cpuTime(b)-used+cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
		}
	}
	const mib = size >> 20
	b.ReportMetric(float64(median(outside.took))/float64(median(inside.took)), "speed-ratio")
	b.ReportMetric(milliseconds(median(inside.firstByte)-median(outside.firstByte)), "first-byte-later-ms")
	b.ReportMetric(milliseconds(median(inside.cpu))/mib, "cpu-ms/MiB")
	b.ReportMetric(milliseconds(median(outside.cpu))/mib, "direct-cpu-ms/MiB")
}

// downloads has what several downloads took.
type downloads struct{ took, firstByte, cpu []time.Duration }

// add reads what curl has written.
func (d *downloads) add(b *testing.B, written []byte, cpu time.Duration) {
	b.Helper()
	var speed, firstByte float64
	_, err := fmt.Sscanf(string(written), "%g %g", &speed, &firstByte)
	require.NoError(b, err, "%s", written)
	d.took = append(d.took, time.Duration(float64(time.Second)*(1<<20)/speed)) // for a MiB
	d.firstByte = append(d.firstByte, time.Duration(firstByte*float64(time.Second)))
	d.cpu = append(d.cpu, cpu)
}
