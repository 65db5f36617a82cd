(function(){
var root=document.documentElement,button=document.getElementById('theme'),tip=document.getElementById('tip');
button.onclick=function(){
  var dark=root.dataset.theme?root.dataset.theme==='dark':matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme=dark?'light':'dark';
};
function num(v){return v==null?'missing':v>=1000?Math.round(v).toLocaleString('en-US'):String(v);}
document.querySelectorAll('svg.plot').forEach(function(svg){
  var data=null,line=svg.querySelector('.cursor');
  svg.addEventListener('mousemove',function(e){
    data=data||JSON.parse(svg.dataset.values);
    var box=svg.getBoundingClientRect(),scale=svg.viewBox.baseVal.width/box.width;
    var x=(e.clientX-box.left)*scale,i=Math.floor((x-data.x0)/(data.x1-data.x0)*data.d.length);
    if(i<0||i>=data.d.length){hide();return;}
    line.setAttribute('x1',x);line.setAttribute('x2',x);line.style.visibility='visible';
    var at=new Date((data.t+i*data.dt)*1000).toISOString().slice(0,16).replace('T',' ');
    var range=data.l[i]==null?'none':num(data.l[i])+' to '+num(data.h[i]);
    tip.textContent=at+' UTC\ndemand    '+num(data.d[i])+'\nforecast  '+range+'\nTwinscale '+num(data.s[i])+'\nreactive  '+num(data.r[i]);
    tip.style.visibility='visible';
    tip.style.left=Math.min(e.clientX+14,innerWidth-tip.offsetWidth-8)+'px';tip.style.top=(e.clientY+16)+'px';
  });
  function hide(){line.style.visibility='hidden';tip.style.visibility='hidden';}
  svg.addEventListener('mouseleave',hide);
});
})();
