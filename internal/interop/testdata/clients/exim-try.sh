# smtp opportunistic ${EXIM:-exim4} -C /dev/null -bV 2>/dev/null | grep ^Exim
# As a sender: Debian's Exim can not be installed beside Postfix, and is run from where EXIM says.
home=$(mktemp -d); trap 'rm -rf "$home"' EXIT; chmod 777 "$home"
printf 'exim_path = %s\nkeep_environment =\nprimary_hostname = client.example.test\nspool_directory = %s\nlog_file_path = %s/%%slog\nnever_users =\nbegin routers\nall:\n  driver = manualroute\n  transport = out\n  route_list = * %s byname\n  self = send\n  host_find_failed = defer\nbegin transports\nout:\n  driver = smtp\n  port = %s\n  allow_localhost\n  connect_timeout = 5s\n  command_timeout = 5s\n  tls_verify_certificates = %s\n  tls_try_verify_hosts = *\nbegin retry\n* * F,1h,10m\n' "$(command -v ${EXIM:-exim4})" "$home" "$home" "$1" "$2" "$5" >"$home/conf"
printf 'From: a@example.test\nTo: b@example.test\nSubject: x\n\ny\n' | ${EXIM:-exim4} -C "$home/conf" -odf -oi -f a@example.test b@example.test
cat "$home"/mainlog
