package resource_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/resource"
)

func TestCheck(t *testing.T) {
	for name, ok := range map[string]bool{
		"projects/p/topics/abc":                         true,
		"projects/example.com:p-1/topics/a-_.~+%9":      true,
		"projects/p/topics/" + strings.Repeat("a", 255): true,
		"":                                  false,
		"abc":                               false,
		"projects/p/topics/":                false,
		"projects//topics/abc":              false,
		"projects/p/subscriptions/abc":      false,
		"projects/p/topics/abc/d":           false,
		"project/p/topics/abc":              false,
		"projects/p/topics/ab":              false,
		"projects/p/topics/9abc":            false,
		"projects/p/topics/_deleted-topic_": false,
		"projects/p/topics/googabc":         false,
		"projects/p/topics/a bc":            false,
		"projects/p/topics/abcé":            false,
		"projects/p q/topics/abc":           false,
		"projects/p/topics/" + strings.Repeat("a", 256): false,
	} {
		t.Run(name, func(t *testing.T) {
			err := resource.Check(resource.Topics, name)
			if ok {
				require.NoError(t, err)
				require.NoError(t, resource.CheckProject(resource.Project(name)))
				return
			}
			var nameErr *resource.NameError
			require.ErrorAs(t, err, &nameErr)
			require.Equal(t, name, nameErr.Name)
		})
	}
}

func TestCheckProject(t *testing.T) {
	for name, ok := range map[string]bool{"projects/p": true, "projects/": false, "p": false, "projects/a/b": false, "": false} {
		require.Equal(t, ok, resource.CheckProject(name) == nil, name)
	}
}
