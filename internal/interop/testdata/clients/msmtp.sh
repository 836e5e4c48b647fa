# submission required msmtp --version
printf 'Subject: x\n\ny\n' | exec msmtp --host="$1" --port="$2" --timeout=10 --tls=on --tls-starttls=on --tls-trust-file="$5" --auth=plain --user="$3" --passwordeval="echo $4" --from=a@example.test b@example.test
