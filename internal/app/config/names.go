package config

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

const (
	prefix     = "AIRLOCK_"
	testPrefix = "AIRLOCK_TEST_"
)

// otherNames are the variables that are read without a struct of this package: by every program, by the command line,
// by programs built with the tag failpoints, by scripts and by infra/compose.yaml. One file of variables may serve them
// all.
var otherNames = []string{
	"AIRLOCK_LOG_LEVEL",
	"AIRLOCK_URL", "AIRLOCK_API_KEY", "AIRLOCK_API_KEY" + SecretFileSuffix,
	"AIRLOCK_FAILPOINT",
	"AIRLOCK_ENGINE_STATE", "AIRLOCK_DOCKERD_FLAGS", "AIRLOCK_DEBIAN_MIRROR",
	"AIRLOCK_PUBSUB_ADDR", "AIRLOCK_FIRESTORE_ADDR",
}

// kubernetesService matches the variables that Kubernetes sets in every container for a service such as airlock-api:
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables. None of them is a misspelt
// name.
var kubernetesService = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// CheckNames looks for variables in environ ("NAME=value") that begin with AIRLOCK_ and that no program reads. If the
// name is close to a known one, the error says so: it is most likely misspelt, and the program must not start without
// the setting. All others are returned, sorted, for a warning. keyVariables are the names in the runtimes file that
// hold the keys of upstreams.
func CheckNames(environ []string, keyVariables ...string) (unknown []string, err error) {
	known := knownNames(keyVariables)
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, prefix) && !strings.HasPrefix(name, testPrefix) && !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	var errs []error
	for _, name := range unknown {
		if similar := closest(name, known); similar != "" && !kubernetesService.MatchString(name) {
			errs = append(errs, fmt.Errorf("unknown variable %s: did you mean %s?", name, similar))
		}
	}
	return unknown, errors.Join(errs...)
}

func knownNames(keyVariables []string) []string {
	known := slices.Concat(otherNames, keyVariables)
	for _, name := range keyVariables {
		known = append(known, name+SecretFileSuffix)
	}
	for _, t := range []reflect.Type{reflect.TypeFor[API](), reflect.TypeFor[Executor]()} {
		for _, v := range variables(t) {
			known = append(known, v.Name)
		}
	}
	slices.Sort(known)
	return slices.Compact(known)
}

// maxEdits is the number of edits within which a name counts as misspelt. A short name allows fewer, one in three
// letters after the prefix: AIRLOCK_UID is not AIRLOCK_URL.
const maxEdits = 2

// closest returns the known name that name may be meant for, or "" if none is close: the one with the fewest edits, or
// else the shortest that has all the words of name and more, such as AIRLOCK_LISTEN_ADDR for AIRLOCK_LISTEN.
func closest(name string, known []string) string {
	best, bestEdits, longer := "", maxEdits+1, ""
	for _, k := range known {
		edits := levenshtein.ComputeDistance(name, k)
		if edits < bestEdits && edits <= (len(k)-len(prefix))/3 {
			best, bestEdits = k, edits
		}
		if containsWords(k, name) && (longer == "" || len(k) < len(longer)) {
			longer = k
		}
	}
	return cmp.Or(best, longer)
}

// containsWords reports whether a known name has all the words of a shorter one. A single word counts only if the known
// name begins with it: AIRLOCK_IMAGE may be anybody's.
func containsWords(known, name string) bool {
	knownWords, words := strings.Split(known, "_")[1:], strings.Split(name, "_")[1:]
	if len(words) >= len(knownWords) {
		return false
	}
	for _, w := range words {
		if !slices.Contains(knownWords, w) {
			return false
		}
	}
	return len(words) > 1 || words[0] == knownWords[0]
}

// variable is an environment variable and the field that it is read into.
type variable struct {
	Name, Field, Default string
}

// variables returns the variables of a configuration, in the order of the fields.
func variables(config reflect.Type) (found []variable) {
	for f := range config.Fields() {
		if tag, ok := f.Tag.Lookup("env"); ok {
			name, _, _ := strings.Cut(tag, ",")
			found = append(found, variable{Name: name, Field: f.Name, Default: f.Tag.Get("envDefault")})
		} else if f.Type.Kind() == reflect.Struct {
			found = append(found, variables(f.Type)...)
		}
	}
	return found
}
