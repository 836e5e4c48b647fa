# imap required node -p "'imapflow '+require('imapflow/package.json').version"
exec node -e "
const [host, port, user, pass, ca] = process.argv.slice(1);
const c = new (require('imapflow').ImapFlow)({host, port: +port, secure: false, doSTARTTLS: true, auth: {user, pass}, tls: {ca: require('fs').readFileSync(ca)}, greetingTimeout: 10000, logger: false});
c.on('error', () => process.exit(1));
c.connect().then(() => c.mailboxOpen('INBOX')).then(() => c.logout()).then(() => process.exit(0), e => { console.error(e); process.exit(1); });
" "$@"
