package render

import (
	"io"
	"slices"
	"time"

	"example.org/starttls/check"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// prometheus writes the report in the text exposition format, as for the node
// exporter's textfile collector.
func prometheus(w io.Writer, r check.Report, o Options) error {
	for _, f := range families(r, o) {
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return err
		}
	}
	return nil
}

// gauge is one metric: its name, its help, and its values for one result.
type gauge struct {
	name, help string
	values     func(check.Result) []value
}

type value struct {
	v      float64
	labels []string // name, value, name, value ...
}

func gauges(o Options) []gauge {
	one := func(v float64, labels ...string) []value { return []value{{v, labels}} }
	truth := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	return []gauge{
		{"starttls_check_success", "1 if the target was reached and nothing counts against it.", func(r check.Result) []value {
			return one(truth(state(r, o.failOn()) == stateOK))
		}},
		{"starttls_check_outcome", "How the upgrade ended.", func(r check.Result) []value { return one(1, "outcome", string(r.Outcome)) }},
		{"starttls_check_level", "The level of protection reached.", func(r check.Result) []value { return one(1, "level", r.Level) }},
		{"starttls_check_tls_info", "What was negotiated.", func(r check.Result) []value {
			if r.TLS.Version == "" {
				return nil
			}
			return one(1, "version", r.TLS.Version, "cipher", r.TLS.Cipher, "group", r.TLS.Group)
		}},
		{"starttls_check_certificate_verified", "1 if the certificate verifies.", func(r check.Result) []value {
			if len(r.Certificate.Chain) == 0 {
				return nil
			}
			return one(truth(r.Certificate.Verified))
		}},
		{"starttls_check_certificate_not_after_timestamp_seconds", "When the server's certificate expires, as Unix time.", func(r check.Result) []value {
			if len(r.Certificate.Chain) == 0 {
				return nil
			}
			t, err := time.Parse(time.RFC3339, r.Certificate.Chain[0].NotAfter)
			if err != nil {
				return nil
			}
			return one(float64(t.Unix()))
		}},
		{"starttls_check_finding", "1 for each finding that is a fault.", func(r check.Result) (out []value) {
			for _, f := range r.Findings {
				if f.Bad() {
					out = append(out, value{1, []string{"id", f.ID, "severity", string(f.Severity)}})
				}
			}
			return out
		}},
		{"starttls_check_duration_seconds", "How long each phase of the first visit took, and the check as a whole.", func(r check.Result) []value {
			m := r.Milliseconds
			return []value{{m.Dial / 1000, []string{"phase", "dial"}}, {m.Cleartext / 1000, []string{"phase", "cleartext"}},
				{m.Handshake / 1000, []string{"phase", "handshake"}}, {m.Total / 1000, []string{"phase", "total"}}}
		}},
		{"starttls_check_connections", "How many connections were made.", func(r check.Result) []value { return one(float64(r.Connections)) }},
	}
}

func families(r check.Report, o Options) (out []*dto.MetricFamily) {
	for _, g := range gauges(o) {
		f := &dto.MetricFamily{Name: &g.name, Help: &g.help, Type: dto.MetricType_GAUGE.Enum()}
		for _, res := range r.Results {
			for _, v := range g.values(res) {
				m := &dto.Metric{Gauge: &dto.Gauge{Value: &v.v}}
				for pair := range slices.Chunk(append([]string{"target", res.Target, "address", res.Address}, v.labels...), 2) {
					m.Label = append(m.Label, &dto.LabelPair{Name: &pair[0], Value: &pair[1]})
				}
				f.Metric = append(f.Metric, m)
			}
		}
		if len(f.Metric) > 0 {
			out = append(out, f)
		}
	}
	return out
}
