package rewrite

// Slack is how much a charge may exceed what is then run.
const Slack = 32

// RewriteExactly is Rewrite with a charge for each instruction where it is run.
func RewriteExactly(raw []byte, l Limits) (*Module, error) {
	return rewrite(raw, l, granularity{slack: -1})
}
