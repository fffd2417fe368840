package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Labels are texts by name. Their form is "zone=a,gpu=no".
type Labels map[string]string

// UnmarshalText parses labels.
func (l *Labels) UnmarshalText(text []byte) error {
	labels := Labels{}
	for _, part := range strings.Split(string(text), ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		if _, exists := labels[name]; !ok || exists {
			return fmt.Errorf("labels have the form name=value,name=value, each name once; not %q", part)
		}
		labels[name] = strings.TrimSpace(value)
	}
	*l = labels
	return nil
}

const (
	maxLabels      = 32
	maxLabelLength = 128 // of a value, in bytes
)

// labelName keeps the names short and free of characters that mean something elsewhere.
var labelName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_./-]{0,62}$`)

func (l Labels) validate() error {
	var errs []error
	if len(l) > maxLabels {
		errs = append(errs, fmt.Errorf("AIRLOCK_EXECUTOR_LABELS may have at most %d labels, not %d", maxLabels, len(l)))
	}
	for _, name := range slices.Sorted(maps.Keys(l)) {
		if !labelName.MatchString(name) {
			errs = append(errs, fmt.Errorf("AIRLOCK_EXECUTOR_LABELS: the name of a label has 1 to 63 letters, digits and . _ / -, not %q", name))
		}
		if len(l[name]) > maxLabelLength {
			errs = append(errs, fmt.Errorf("AIRLOCK_EXECUTOR_LABELS: the value of %s has more than %d bytes", name, maxLabelLength))
		}
	}
	return errors.Join(errs...)
}
