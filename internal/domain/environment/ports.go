package environment

import "slices"

// Ports returns the ports on which some host may be reached, in order.
func (r Rules) Ports() []int {
	var all []int
	for _, p := range r.patterns {
		all = append(all, p.ports()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
