package docker

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/sandbox"
)

func TestClosedPoolStaysEmpty(t *testing.T) {
	p := newPool([]WarmPool{{Job: sandbox.Job{Image: "image"}, MinIdle: 2}}, 0, time.Hour)
	spec, now := newSpec("image", sandbox.DefaultLimits), time.Now()
	require.Equal(t, 2, p.reserve(spec, now))
	require.Zero(t, p.reserve(spec, now), "both are starting")
	early, late := &sandboxContainer{name: "early"}, &sandboxContainer{name: "late"}
	require.Nil(t, p.completeStart(spec, early))
	require.Equal(t, []*sandboxContainer{early}, p.close())
	require.Equal(t, late, p.completeStart(spec, late))
	require.Nil(t, p.take(spec, now))
	require.Zero(t, p.reserve(spec, now))
}

// The demand of one tenant takes no place of the configured containers.
func TestDemandLeavesConfiguredPlaces(t *testing.T) {
	p := newPool([]WarmPool{{Job: sandbox.Job{Image: "configured"}, MinIdle: 1}}, 2, time.Hour)
	now := time.Now()
	for i := range 3 {
		other := newSpec("other"+string(rune('a'+i)), sandbox.DefaultLimits)
		p.recordDemand(other, nil, now)
		require.Equal(t, i < 2, p.reserve(other, now) == 1)
	}
	require.Equal(t, 1, p.reserve(newSpec("configured", sandbox.DefaultLimits), now))
}

// For any order of events: the pool returns each container one time and loses none; take returns no expired container;
// there are never more containers than minIdle and maxExtra together; and without demand there are at most minIdle.
func TestPoolInvariants(t *testing.T) {
	specs := []containerSpec{{image: "a"}, {image: "b"}, {image: "a", memory: 1}}
	rapid.Check(t, func(t *rapid.T) {
		const maxAge = 10 * time.Minute
		minIdle, maxExtra := rapid.IntRange(0, 3).Draw(t, "minIdle"), rapid.IntRange(0, 4).Draw(t, "maxExtra")
		p := newPool(nil, maxExtra, maxAge)
		p.subpool(specs[0]).minIdle, p.minIdle = minIdle, minIdle
		now := time.Now()
		starting, alive := map[containerSpec]int{}, map[*sandboxContainer]bool{}
		leave := func(c *sandboxContainer) {
			require.True(t, alive[c], "the pool returned the container two times, or lost it")
			delete(alive, c)
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			spec := rapid.SampledFrom(specs).Draw(t, "spec")
			switch rapid.SampledFrom([]string{"job", "started", "fail", "later", "evict"}).Draw(t, "step") {
			case "job":
				p.recordDemand(spec, nil, now)
				if c := p.take(spec, now); c != nil {
					require.LessOrEqual(t, now.Sub(c.record.Times.Started), maxAge)
					leave(c)
				}
				starting[spec] += p.reserve(spec, now)
			case "started":
				if starting[spec] > 0 {
					starting[spec]--
					c := &sandboxContainer{record: sandbox.Record{Times: sandbox.Times{Started: now}}}
					alive[c] = true
					require.Nil(t, p.completeStart(spec, c))
				}
			case "fail":
				if starting[spec] > 0 {
					starting[spec]--
					p.cancelStart(spec, errors.New("failed"), now)
				}
			case "later":
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*maxAge)).Draw(t, "by")))
			case "evict":
				for _, c := range p.evict(now) {
					leave(c)
				}
			}
			require.LessOrEqual(t, len(alive)+starting[specs[0]]+starting[specs[1]]+starting[specs[2]], minIdle+maxExtra)
		}
		for spec, n := range starting {
			for range n {
				c := &sandboxContainer{record: sandbox.Record{Times: sandbox.Times{Started: now}}}
				alive[c] = true
				p.completeStart(spec, c)
			}
		}
		now = now.Add(demandWindow + time.Second)
		for _, c := range p.evict(now) {
			leave(c)
		}
		require.LessOrEqual(t, len(alive), minIdle)
		require.Len(t, p.close(), len(alive))
	})
}
