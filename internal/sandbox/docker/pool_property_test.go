package docker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/sandbox"
)

func TestPoolClosed(t *testing.T) {
	p := newPool([]WarmPool{{Image: "image", MinIdle: 2}}, 0, time.Hour)
	s, now := newSpec("image", sandbox.DefaultLimits), time.Now()
	require.Equal(t, 2, p.reserve(s, now))
	require.Zero(t, p.reserve(s, now), "both are coming")
	early, late := &sandboxContainer{name: "early"}, &sandboxContainer{name: "late"}
	require.Nil(t, p.completeStart(s, early, now))
	require.Equal(t, []*sandboxContainer{early}, p.close())
	require.Equal(t, late, p.completeStart(s, late, now))
	require.Nil(t, p.take(s, now))
	require.Zero(t, p.reserve(s, now))
}

// Whatever happens in whatever order: no container is given away twice, or
// lost, or too old; there are never more than asked for plus what demand may
// add; and when all is quiet there are exactly those asked for.
func TestPoolInvariants(t *testing.T) {
	specs := []containerSpec{{image: "a"}, {image: "b"}, {image: "a", memory: 1}}
	rapid.Check(t, func(t *rapid.T) {
		const age = 10 * time.Minute
		minIdle, maxExtra := rapid.IntRange(0, 3).Draw(t, "least"), rapid.IntRange(0, 4).Draw(t, "most")
		p := newPool(nil, maxExtra, age)
		p.subpool(specs[0]).minIdle, p.minIdle = minIdle, minIdle
		now := time.Now()
		starting, alive := map[containerSpec]int{}, map[*sandboxContainer]bool{}
		out := func(c *sandboxContainer) {
			require.True(t, alive[c], "given away twice")
			delete(alive, c)
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			s := rapid.SampledFrom(specs).Draw(t, "shape")
			switch rapid.SampledFrom([]string{"job", "arrive", "fail", "later", "tidy"}).Draw(t, "step") {
			case "job":
				p.recordDemand(s, now)
				if c := p.take(s, now); c != nil {
					require.LessOrEqual(t, now.Sub(c.record.Times.Started), age)
					out(c)
				}
				starting[s] += p.reserve(s, now)
			case "arrive":
				if starting[s] > 0 {
					starting[s]--
					c := &sandboxContainer{record: sandbox.Record{Times: sandbox.Times{Started: now}}}
					alive[c] = true
					require.Nil(t, p.completeStart(s, c, now))
				}
			case "fail":
				if starting[s] > 0 {
					starting[s]--
					require.Nil(t, p.completeStart(s, nil, now))
				}
			case "later":
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*age)).Draw(t, "by")))
			case "tidy":
				for _, c := range p.evict(now) {
					out(c)
				}
			}
			require.LessOrEqual(t, len(alive)+starting[specs[0]]+starting[specs[1]]+starting[specs[2]], minIdle+maxExtra)
		}
		for s, n := range starting {
			for range n {
				c := &sandboxContainer{record: sandbox.Record{Times: sandbox.Times{Started: now}}}
				alive[c] = true
				p.completeStart(s, c, now)
			}
		}
		now = now.Add(demandWindow + time.Second)
		for _, c := range p.evict(now) {
			out(c)
		}
		require.LessOrEqual(t, len(alive), minIdle)
		require.Len(t, p.close(), len(alive))
	})
}
