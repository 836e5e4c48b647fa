module example.org/starttls

go 1.26
