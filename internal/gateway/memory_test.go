package gateway

import (
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The bodies are those that would need the most memory. All tenants share the executor's memory.
func TestInspectMemoryIsBounded(t *testing.T) {
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
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(most), "bytes allocated")
		})
	}
}
