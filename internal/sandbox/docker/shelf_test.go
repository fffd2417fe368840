package docker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/sandbox"
)

func TestClosedPoolKeepsNothing(t *testing.T) {
	p := newPool([]Warm{{Image: "image", Count: 2}}, 0, time.Hour)
	s, now := shapeOf("image", sandbox.DefaultLimits), time.Now()
	require.Equal(t, 2, p.reserve(s, now))
	require.Zero(t, p.reserve(s, now), "both are coming")
	early, late := &cell{name: "early"}, &cell{name: "late"}
	require.Nil(t, p.arrived(s, early, now))
	require.Equal(t, []*cell{early}, p.close())
	require.Equal(t, late, p.arrived(s, late, now))
	require.Nil(t, p.take(s, now))
	require.Zero(t, p.reserve(s, now))
}

// Whatever happens in whatever order: no container is given away twice, or
// lost, or too old; there are never more than asked for plus what demand may
// add; and when all is quiet there are exactly those asked for.
func TestPoolKeepsItsPromises(t *testing.T) {
	shapes := []shape{{image: "a"}, {image: "b"}, {image: "a", memory: 1}}
	rapid.Check(t, func(t *rapid.T) {
		const age = 10 * time.Minute
		least, most := rapid.IntRange(0, 3).Draw(t, "least"), rapid.IntRange(0, 4).Draw(t, "most")
		p := newPool(nil, most, age)
		p.shelf(shapes[0]).least, p.least = least, least
		now := time.Now()
		coming, alive := map[shape]int{}, map[*cell]bool{}
		out := func(c *cell) {
			require.True(t, alive[c], "given away twice")
			delete(alive, c)
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			s := rapid.SampledFrom(shapes).Draw(t, "shape")
			switch rapid.SampledFrom([]string{"job", "arrive", "fail", "later", "tidy"}).Draw(t, "step") {
			case "job":
				p.came(s, now)
				if c := p.take(s, now); c != nil {
					require.LessOrEqual(t, now.Sub(c.record.Times.Started), age)
					out(c)
				}
				coming[s] += p.reserve(s, now)
			case "arrive":
				if coming[s] > 0 {
					coming[s]--
					c := &cell{record: sandbox.Record{Times: sandbox.Times{Started: now}}}
					alive[c] = true
					require.Nil(t, p.arrived(s, c, now))
				}
			case "fail":
				if coming[s] > 0 {
					coming[s]--
					require.Nil(t, p.arrived(s, nil, now))
				}
			case "later":
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*age)).Draw(t, "by")))
			case "tidy":
				for _, c := range p.tidy(now) {
					out(c)
				}
			}
			require.LessOrEqual(t, len(alive)+coming[shapes[0]]+coming[shapes[1]]+coming[shapes[2]], least+most)
		}
		for s, n := range coming {
			for range n {
				c := &cell{record: sandbox.Record{Times: sandbox.Times{Started: now}}}
				alive[c] = true
				p.arrived(s, c, now)
			}
		}
		now = now.Add(demandWindow + time.Second)
		for _, c := range p.tidy(now) {
			out(c)
		}
		require.LessOrEqual(t, len(alive), least)
		require.Len(t, p.close(), len(alive))
	})
}
