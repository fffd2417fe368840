package gateway

import (
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestInspectCostsLittleMemory gives it the bodies that would cost most: the
// executor's memory is every tenant's.
func TestInspectCostsLittleMemory(t *testing.T) {
	const size, most = 16 << 20, 96 << 20
	var list []byte
	for i := int64(0); len(list) < size; i++ {
		list = append(strconv.AppendInt(append(list, '"'), i, 36), `":1,`...)
	}
	names := string(list)
	for name, body := range map[string]string{
		"lists":           `{"model":"m","messages":[` + strings.Repeat("[],", size/3) + `1]}`,
		"names":           `{"model":"m","metadata":{` + names + `"x":1}}`,
		"names in blocks": `{"model":"m","messages":[{` + names + `"x":1}]}`,
		"one text":        `{"model":"m","system":"` + strings.Repeat("x", size) + `"}`,
		"one name":        `{"model":"m","` + strings.Repeat("x", size) + `":1}`,
		"escapes":         `{"model":"m","system":"` + strings.Repeat(`\u0041`, size/6) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(body)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _ = inspect(data, apiSpecs[MessagesAPI])
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(most), "bytes allocated, kept or not")
		})
	}
}
