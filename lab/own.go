package lab

// own are the cases that need the words of a protocol: see [starttls.Mover].
var own = []Case{}
