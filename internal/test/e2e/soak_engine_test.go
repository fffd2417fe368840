package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/test/faultproxy"
)

// useSickEngine puts a proxy that disturbs single requests before the Engine of the executors. As root it is an Engine
// for this test, whose disk is small.
func (c *chaos) useSickEngine() {
	target := engineSocket
	if os.Getuid() == 0 {
		e := newEngine(c.t, "400m")
		c.docker, c.engineDisk, target = e.client, e.dir+"/data", strings.TrimPrefix(e.host, "unix://")
	}
	behind := filepath.Join(c.socketDir, "sick.sock")
	proxy, err := faultproxy.ListenHTTP(behind, target)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { require.NoError(c.t, proxy.Close()) })
	c.sickEngine = proxy
	c.engineProxy = startProxy(c.t, "unix", filepath.Join(c.socketDir, "engine2.sock"), behind)
	c.executorEnv = append(c.executorEnv, "DOCKER_HOST=unix://"+c.engineProxy.Addr())
}

func startsContainer(r *http.Request) bool {
	return r.Method == http.MethodPost && (strings.HasSuffix(r.URL.Path, "/containers/create") || strings.HasSuffix(r.URL.Path, "/start"))
}

// setEngineFault applies a fault to the requests that create and start containers.
func (c *chaos) setEngineFault(maxDuration time.Duration, fault func(faultproxy.Exchange)) {
	c.sickEngine.Set(func(e faultproxy.Exchange) bool {
		if !startsContainer(e.Request) {
			return false
		}
		fault(e)
		return true
	})
	c.addFault(c.sickEngine, maxDuration, func() { c.sickEngine.Set(nil) })
}

// slowEngine delays creations and starts, also beyond the time-out of a start.
func (c *chaos) slowEngine() {
	if c.hasFault(c.sickEngine) {
		return
	}
	delays := []time.Duration{2 * time.Second, 10 * time.Second, 40 * time.Second}
	delay := delays[c.random.IntN(len(delays))]
	c.logFault("the Engine takes %s for each start", delay)
	c.setEngineFault(30*time.Second, func(e faultproxy.Exchange) {
		select {
		case <-time.After(delay):
		case <-c.t.Context().Done():
		}
		e.Answer(e.Forward())
	})
}

// failEngine answers creations and starts with an error, before or after they take effect.
func (c *chaos) failEngine() {
	if c.hasFault(c.sickEngine) {
		return
	}
	takesEffect := c.random.IntN(2) == 0
	c.logFault("the Engine answers each start with an error; it takes effect: %t", takesEffect)
	c.setEngineFault(20*time.Second, func(e faultproxy.Exchange) {
		if takesEffect {
			e.Forward()
		}
		e.Fail(http.StatusInternalServerError, "no space left on device")
	})
}

// fillEngine fills the Engine's disk.
func (c *chaos) fillEngine() {
	if c.engineDisk == "" || c.hasFault(c.engineDisk) {
		return
	}
	c.logFault("the Engine's disk is full")
	filler := filepath.Join(c.engineDisk, "filler")
	require.NoError(c.t, fillDisk(filler))
	c.addFault(c.engineDisk, 20*time.Second, func() { require.NoError(c.t, os.Remove(filler)) })
}
