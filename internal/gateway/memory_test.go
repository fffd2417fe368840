package gateway

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestInspectCostsLittleMemory gives it the bodies that would cost most: the
// executor's memory is every tenant's.
func TestInspectCostsLittleMemory(t *testing.T) {
	const size = defaultMaxBody
	var names strings.Builder
	for i := 0; names.Len() < size-100; i++ {
		fmt.Fprintf(&names, `"%x":1,`, i)
	}
	for name, body := range map[string]string{
		"lists":           `{"model":"m","messages":[` + strings.Repeat("[],", size/3) + `1]}`,
		"names":           `{"model":"m","metadata":{` + names.String() + `"x":1}}`,
		"names in blocks": `{"model":"m","messages":[{` + names.String() + `"x":1}]}`,
		"one text":        `{"model":"m","system":"` + strings.Repeat("x", size) + `"}`,
		"one name":        `{"model":"m","` + strings.Repeat("x", size) + `":1}`,
		"escapes":         `{"model":"m","system":"` + strings.Repeat(`\u0041`, size/6) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(body)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _ = inspect(data)
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(3*size), "bytes allocated, kept or not")
		})
	}
}
