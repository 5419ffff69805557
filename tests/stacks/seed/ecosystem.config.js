var ignored = ['node_modules', 'logs'];
module.exports = {
  apps: ['1', '2', '3', '4'].map(function (number) {
    return {
      name: 'shop-' + number,
      script: 'server.js',
      watch: true,
      ignore_watch: ignored,
      max_memory_restart: '1500M',
      env: { 'port': String(3999 + Number(number)) }
    };
  })
};
