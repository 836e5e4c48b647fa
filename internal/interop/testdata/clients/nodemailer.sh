# submission required node -p "'nodemailer '+require('nodemailer/package.json').version"
exec node -e "
const [host, port, user, pass, ca] = process.argv.slice(1);
require('nodemailer').createTransport({host, port, requireTLS: true, connectionTimeout: 10000, auth: {user, pass}, tls: {ca: require('fs').readFileSync(ca)}})
  .sendMail({from: 'a@example.test', to: 'b@example.test', subject: 'x', text: 'y'}).then(() => process.exit(0), e => { console.error(e); process.exit(1); });
" "$@"
