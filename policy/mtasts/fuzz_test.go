package mtasts

import (
	"reflect"
	"strings"
	"testing"
)

func FuzzParseRecord(f *testing.F) {
	f.Add("v=STSv1; id=20160831085700Z; x=y;")
	f.Fuzz(func(t *testing.T, txt string) {
		r, err := ParseRecord(txt)
		if err != nil {
			if r != (Record{}) {
				t.Errorf("%q: %v with %v", txt, r, err)
			}
			return
		}
		if !recordID().MatchString(r.ID) || !strings.Contains(txt, "id="+r.ID) {
			t.Errorf("%q: id %q", txt, r.ID)
		}
		if again, err := ParseRecord("v=STSv1;id=" + r.ID); err != nil || again != r {
			t.Errorf("%q: %v, %v", txt, again, err)
		}
	})
}

// A policy that is read has what it must have, and means the same to whom its
// lines are quoted.
func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(enforce))
	f.Add([]byte("version: STSv1\nmode: none\nmax_age: 0\n\nx: y"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePolicy(text)
		if err != nil {
			return
		}
		if p.Mode != Enforce && p.Mode != Testing && p.Mode != None || p.Mode != None && len(p.MX) == 0 || p.MaxAge < 0 || p.MaxAge.Seconds() > maxMaxAge {
			t.Errorf("%q: %+v", text, p)
		}
		for _, mx := range p.MX {
			alone := Policy{MX: []string{mx}}
			if !alone.Match(strings.Replace(mx, "*", "a", 1)) || alone.Match("a.b."+strings.TrimPrefix(mx, "*.")) {
				t.Errorf("%q: mx %q", text, mx)
			}
		}
		again, err := ParsePolicy([]byte(strings.Join(p.Strings(), "\n")))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again.Text = p.Text
		if !reflect.DeepEqual(again, p) {
			t.Errorf("%+v\n%+v", p, again)
		}
	})
}
