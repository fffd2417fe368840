package execution

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLabelsRoundTrip(t *testing.T) {
	for _, labels := range []map[string]string{{}, {"a": ""}, {"b": "=", "a": "x=y=z", "env/zone.1": "é 한"}} {
		back := map[string]string{}
		for _, label := range Labels(labels) {
			name, value := label.Cut()
			back[name] = value
		}
		require.Equal(t, labels, back, fmt.Sprint(labels))
	}
}
