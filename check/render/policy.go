package render

import (
	"strings"

	"example.org/starttls/check"
)

// policy says what the domain demands, and what senders would do.
func (p printer) policy(y check.Policy) {
	if y.Level != "" || y.DANE != nil && len(y.DANE.Records) > 0 {
		p.fact("resolver", y.Resolver)
	}
	if y.Level != "" {
		p.fact("policy", strings.Join(nonEmpty(y.Level, y.Reason, y.ResultType), "; "))
	}
	if d := y.DANE; d != nil && len(d.Records) > 0 {
		p.fact("DANE", strings.Join(nonEmpty(d.Demand, strings.Join(d.Records, " and ")), ": "))
	}
	if m := y.MTASTS; m != nil {
		p.fact("MTA-STS", strings.Join(nonEmpty(m.Mode, m.Error), ": "))
	}
	for i, s := range y.Senders {
		name := ""
		if i == 0 {
			name = "senders"
		}
		p.fact(name, s.Who+" "+s.Does)
	}
}
